"""Runs that are killed at any line, or asked to stop: what is repeated, and what is told."""

import os
import signal
import time
import warnings

import pytest
import torch
from support.small_runs import CPU, SMALL, TRICKS, assert_same_run, run_in, small

from rnnbench.cli.actions.run import run_once
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Trainer
from rnnbench.training import checkpoint, run
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve, resolve_with_plugins
from rnnbench.training.run import Training

EVERY_STEP = Trainer(accelerator="cpu", checkpoint_seconds=0.0)
VALIDATIONS_ONLY = Trainer(accelerator="cpu", checkpoint_seconds=None)

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def digits():
    """Four steps an epoch, and validations at another pace."""
    settings = {
        "task.step": "row", "architecture.hidden": 8, "optimizer.batch": 400,
        "budget.steps": 10, "budget.validate_every": 3,
    }  # fmt: skip
    return resolve(compose("digits", "lstm", ["zoneout"], settings, test=False))


def killed_at(monkeypatch, step=None, validation=None, before_saving=None):
    """Within the patch, a run kills its process when it comes to a step or a validation."""
    one_step, validate, save = (
        Training._one_step, Training.validate, checkpoint.save,
    )  # fmt: skip
    counts = {"validate": 0, "save": 0}

    def die(name, at):
        counts[name] += 1
        if counts[name] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def patched_step(self, batch, fresh, after):
        loss = one_step(self, batch, fresh, after)
        if after.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    def patched_validate(self, *args, **kwargs):
        die("validate", validation)
        return validate(self, *args, **kwargs)

    def patched_save(*args):
        die("save", before_saving)
        return save(*args)

    monkeypatch.setattr(Training, "_one_step", patched_step)
    monkeypatch.setattr(Training, "validate", patched_validate)
    monkeypatch.setattr(checkpoint, "save", patched_save)


def run_killed(folder, spec, trainer):
    child = os.fork()
    if child == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            execute(spec, store=Store(folder, index=False), trainer=trainer)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the run came to its end"


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    return {
        name: run_in(tmp_path_factory.mktemp(name), spec)
        for name, spec in (("lm", small(tricks=TRICKS)), ("digits", digits()))
    }


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("lm", {"step": 1}), ("lm", {"step": 33}), ("lm", {"step": 60}),
        ("lm", {"validation": 1}), ("lm", {"validation": 3}), ("lm", {"before_saving": 2}),
        ("digits", {"step": 4}), ("digits", {"step": 5}), ("digits", {"validation": 2}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("trainer", [EVERY_STEP, VALIDATIONS_ONLY], ids=["each step", "rounds"])
def test_a_run_killed_anywhere_ends_bitwise_equal(
    tmp_path, monkeypatch, wholes, name, where, trainer
):
    spec = wholes[name][1].spec
    with monkeypatch.context() as patch:
        killed_at(patch, **where)
        run_killed(tmp_path, spec, trainer)
    steps, plain = [], Training._one_step

    def counted(self, batch, fresh, after):
        steps.append(after.step)
        return plain(self, batch, fresh, after)

    monkeypatch.setattr(Training, "_one_step", counted)
    torch.manual_seed(99)
    assert_same_run(wholes[name], run_in(tmp_path, spec, attempt=2))
    if trainer is EVERY_STEP and "step" in where:
        assert steps[0] == where["step"], "only the step that was not saved is repeated"


def test_checkpoints_by_time_leave_log_and_curve_as_they_are(tmp_path, wholes):
    spec = wholes["lm"][1].spec
    store = Store(tmp_path)
    assert execute(spec, store=store, trainer=EVERY_STEP).status == Status.DONE
    logs = [
        [line.split(",")[:3] + line.split(",")[4:] for line in text.splitlines()]
        for text in (
            (s.run_dir(spec.run_id) / "metrics.csv").read_text() for s in (store, wholes["lm"][0])
        )
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(("seconds", "saves"), [(0.0, 60), (1e6, 3), (None, 3)])
def test_the_time_between_checkpoints_is_bounded(tmp_path, monkeypatch, seconds, saves):
    at, plain = [], checkpoint.save

    def save(folder, state):
        at.append(state["position"][0])
        return plain(folder, state)

    monkeypatch.setattr(checkpoint, "save", save)
    trainer = Trainer(accelerator="cpu", checkpoint_seconds=seconds)
    execute(small(), store=Store(tmp_path), trainer=trainer)
    assert len(set(at)) == saves
    assert at == sorted(at)


def test_a_long_validation_begins_with_a_checkpoint(tmp_path, monkeypatch):
    at, plain, validate = [], checkpoint.save, Training.validate

    def save(folder, state):
        at.append((state["position"][0], len(state["curve"])))
        return plain(folder, state)

    def slow(self, *args, **kwargs):
        evaluation = validate(self, *args, **kwargs)
        self.validation_seconds = 1e7
        return evaluation

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(Training, "validate", slow)
    execute(
        small(), store=Store(tmp_path), trainer=Trainer(accelerator="cpu", checkpoint_seconds=1e6)
    )
    assert at == [(20, 1), (40, 1), (40, 2), (60, 2), (60, 3)]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_signal_while_it_evaluates_ends_it_within_a_batch(tmp_path, monkeypatch, split):
    spec = small(tricks=TRICKS, test=True)
    whole = run_in(tmp_path / "whole", spec)
    plain, looks = run.evaluate, []

    def evaluate(model, task, data, meter, device, examples, look, *more):
        def signalled():
            if data is run.split_of(task, split, 0):
                looks.append(1)
                os.kill(os.getpid(), signal.SIGTERM)
            look()

        return plain(model, task, data, meter, device, examples, signalled, *more)

    with monkeypatch.context() as patch:
        patch.setattr(run, "evaluate", evaluate)
        _, stopped = run_in(tmp_path / "cut", spec, quiet=False)
    assert stopped.status == Status.INTERRUPTED
    step = 20 if split == "valid" else 60
    assert stopped.reason == f"SIGTERM while evaluating on {split}, at step {step}"
    assert len(looks) == 1
    assert_same_run(whole, run_in(tmp_path / "cut", spec, attempt=2))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGUSR1, 75), (signal.SIGXCPU, 75), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
)
def test_exit_code_and_last_line_say_that_it_was_stopped(
    tmp_path, monkeypatch, capsys, number, code
):
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        if after.step == 30:
            os.kill(os.getpid(), number)
        return plain(self, batch, fresh, after)

    monkeypatch.setattr(Training, "_one_step", one_step)
    assert run_once(resolve_with_plugins(small()), CPU, tmp_path, quiet=True) == code
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("interrupted: ")
    assert f"{signal.Signals(number).name} at step 30" in "\n".join(said)
    monkeypatch.undo()
    assert run_once(resolve_with_plugins(small()), CPU, tmp_path, quiet=True) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("done: ")


def test_a_signal_before_the_first_step_ends_a_run_at_once(tmp_path, monkeypatch):
    def slow(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(run, "split_of", slow)
    began = time.monotonic()
    _, record = run_in(tmp_path, small(), quiet=False)
    assert time.monotonic() - began < 10
    assert (record.status, record.reason) == (Status.INTERRUPTED, "SIGTERM before the first step")


def test_a_warning_that_is_followed_by_another_signal_is_one_request():
    from rnnbench.training import stopping

    requests, before = [], []
    old = signal.signal(signal.SIGTERM, lambda number, _: before.append(number))
    try:
        with stopping.signals(requests.append):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, old)
    assert (requests, before) == ([signal.SIGUSR1], [])


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        OSError(12, "Cannot allocate memory"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_every_way_to_run_out_of_memory_is_one_status(tmp_path, monkeypatch, error):
    def burst(*_):
        raise error

    monkeypatch.setattr(Training, "_one_step", burst)
    _, record = run_in(tmp_path, small())
    assert record.status == Status.OOM
    assert record.reason.startswith(str(error).splitlines()[0][:30])


@pytest.mark.parametrize(
    ("ending", "kept"),
    [
        ("done", {"record.json", "metrics.csv", "weights.safetensors"}),
        ("pruned", {"record.json", "metrics.csv"}),
        ("diverged", {"record.json"}),
        ("interrupted", {"record.json", "metrics.csv", "last.pt", "previous.pt"}),
    ],
)
def test_what_a_run_keeps(tmp_path, monkeypatch, ending, kept):
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        if ending == "interrupted" and after.step == 50:
            self.stop_signal = signal.SIGTERM
        return plain(self, batch, fresh, after)

    monkeypatch.setattr(Training, "_one_step", one_step)
    settings = {"optimizer__lr": 1e8, "optimizer__name": "sgd"} if ending == "diverged" else {}
    spec = small(**settings)
    folder = Store(tmp_path).run_dir(spec.run_id)
    for leftover in (".last.pt.0123456789ab.tmp", ".weights.safetensors.0123456789ab.tmp"):
        (folder / leftover).write_bytes(b"half")
    prune = (lambda step, _: step >= 40) if ending == "pruned" else None
    _, record = run_in(tmp_path, spec, on_validation=prune)
    assert record.status == ending
    assert {p.name for p in folder.iterdir() if p.name != ".record.lock"} == kept
    assert SMALL["budget.steps"] == 60


def test_a_full_disk_ends_a_run_with_what_to_do_and_the_last_checkpoint_goes_on(
    tmp_path, monkeypatch
):
    import resource

    spec = small(tricks=TRICKS)
    whole = run_in(tmp_path / "whole", spec)
    child = os.fork()
    if child == 0:
        # Checkpoints are larger than this from the second one on; a record is not.
        plain, saves = checkpoint.save, []

        def save(folder, state):
            saves.append(1)
            if len(saves) == 2:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            return plain(folder, state)

        checkpoint.save = save
        record = execute(spec, store=Store(tmp_path / "cut", index=False), trainer=CPU)
        os._exit(0 if record.status == Status.INTERRUPTED else 1)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 0
    record = Store(tmp_path / "cut").read(spec.run_id)
    assert "CheckpointError: cannot write" in record.reason
    assert checkpoint.load(tmp_path / "cut/runs" / spec.run_id)["position"][0] == 20
    assert_same_run(whole, run_in(tmp_path / "cut", spec, attempt=2))
