"""Runs whose selection metric tells nothing, such as BLEU on answers of one word."""

import signal

import pytest
from support.small_runs import assert_same_run, run_in

from rnnbench.cli.actions.run import remarks
from rnnbench.leaderboard.boards import build
from rnnbench.metrics import Translation
from rnnbench.results.record import Status
from rnnbench.spec.compose import compose
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training

WORDS = [f"{a}{b}{c}" for a in "abcd" for b in "efgh" for c in "ij"]


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Return a function that composes a run on words that are to be copied."""
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "data"))
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{word}\t{word}\n" for word in WORDS))

    def run(*, test=False, **budget):
        settings = {
            "task.source_file": str(path), "task.tokens": "characters", "task.min_count": 1,
            "task.headline": "bleu",
            "architecture.hidden": 12, "optimizer.batch": 16,
            "budget.steps": 24, "budget.validate_every": 8,
        } | {f"budget.{k}": v for k, v in budget.items()}  # fmt: skip
        return resolve(compose("parallel-text", "seq2seq", [], settings, test=test))

    return run


def figures(record, name):
    return [values[name] for _, _, values in record.curve]


def test_a_run_keeps_the_weights_of_the_lowest_loss_and_says_that_the_loss_chose(copies, tmp_path):
    _, record = run_in(tmp_path / "runs", copies())
    assert record.status is Status.DONE, record.reason
    assert figures(record, "bleu") == [0.0, 0.0, 0.0]
    losses = figures(record, "loss")
    assert losses == sorted(losses, reverse=True)
    assert record.selection["step"] == 24
    assert record.selection["metric"] == "bleu"  # so that it stands on the board of its protocol
    fallback = record.selection["fallback"]
    assert fallback["value"] == losses[-1]
    assert record.metrics["valid"]["loss"] == pytest.approx(losses[-1])
    assert fallback["note"].endswith("so the loss chose")
    assert Ending.of(record).value > 0.0


def test_early_stopping_does_not_end_a_run_whose_loss_falls(copies, tmp_path):
    _, record = run_in(tmp_path / "runs", copies(patience=1))
    assert record.cost["steps"] == 24


def test_a_run_taken_up_in_its_middle_chooses_as_if_it_had_not_been_stopped(
    copies, tmp_path, monkeypatch
):
    monkeypatch.setattr(Translation, "compute", standing_still)
    plain, step = Training._one_step, 17

    def one_step(self, batch, fresh, after):
        loss = plain(self, batch, fresh, after)
        if after.step == step:
            self.stop_signal = signal.SIGTERM
        return loss

    whole = run_in(tmp_path / "whole", copies())
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", one_step)
        _, stopped = run_in(tmp_path / "cut", copies())
    assert stopped.status is Status.INTERRUPTED
    assert stopped.selection["fallback"]["note"] == (
        "bleu was 7 at all 2 validations, so the loss chose"
    )
    again = run_in(tmp_path / "cut", copies(), attempt=2)
    assert_same_run(whole, again)
    assert again[1].selection == whole[1].selection
    assert again[1].selection["fallback"]["note"] == (
        "bleu was 7 at all 3 validations, so the loss chose"
    )


def standing_still(self):
    return {"bleu": 7.0, "chrf": 7.0, "exact": 0.0, "length_ratio": 1.0}


def test_a_pruner_hears_values_that_follow_the_loss(copies, tmp_path):
    told = []
    _, record = run_in(
        tmp_path / "runs", copies(), on_validation=lambda step, value: told.append(value)
    )
    assert len(told) == 2  # none at the end, where nothing is left to stop
    assert told == sorted(told)
    assert len(set(told)) == 2
    assert [value for _, value in Ending.of(record).curve][:2] == told


def test_a_reference_of_four_tokens_makes_bleu_measurable():
    for text, blind in (("one two three", True), ("one two three four", False), ("a,b!", False)):
        meter = Translation(lambda tokens: "", stop=2)
        meter.add("", text)
        meter.compute()
        assert ("bleu" in meter.unmeasurable) == blind


def test_the_board_says_where_the_loss_chose(copies, tmp_path):
    _, record = run_in(tmp_path / "runs", copies(test=True))
    why = "bleu tells nothing where no reference has the 4 tokens that BLEU counts"
    assert remarks(record) == [f"{why}, so the loss chose step 24"]
    (board,) = build([record])
    (note,) = [n for n in board.notes if "told nothing" in n]
    assert note == (
        f"In 1 of 1 runs bleu told nothing on validation ({why}), so the loss chose checkpoint "
        "and configuration. A rank by bleu says little of these runs."
    )
