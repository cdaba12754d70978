"""`rnnbench run` whose disk or storage fails: said, no failure on a board, and the way on."""

import errno

from support.command_line import call

from rnnbench.training import checkpoint
from rnnbench.training.run import Training

WORDS = ("run", "char-lm", "elman", "architecture.hidden=4", "task.length=10", "budget.steps=4",
         "budget.validate_every=2", "trainer.accelerator=cpu", "-q", "--no-test")  # fmt: skip


def test_a_full_disk_interrupts_a_run_and_the_same_command_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def full(path, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(checkpoint, "stage_file", full)
        said = call(*WORDS, "--out", tmp_path, code=69)
    assert "interrupted: CheckpointError: cannot write" in said
    assert "Not the model's fault: a disk is full" in said
    assert "What to do: make room" in said
    assert "The same command goes on from here." in said
    board = call("leaderboard", "char-lm", "--out", tmp_path)
    assert "1 interrupted, to be run again" in " ".join(board.split())
    assert "1/1" not in board
    assert "done: " in call(*WORDS, "--out", tmp_path)


def test_a_fault_of_the_model_is_a_crash_as_before(tmp_path, monkeypatch):
    def fails(run, *_):
        raise RuntimeError("no gradient today")

    monkeypatch.setattr(Training, "_one_step", fails)
    said = call(*WORDS, "--out", tmp_path, code=1)
    assert "crashed: RuntimeError: no gradient today" in said


def test_an_address_that_is_away_ends_with_69_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr("rnnbench.results.remote.WAITS", (0.0, 0.0))
    (tmp_path / "shared").write_text("no folder")
    said = call(*WORDS, "--out", f"file://{tmp_path}/shared", code=69)
    assert "see that the address answers" in said
    assert "the same command goes on" in said
