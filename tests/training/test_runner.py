"""Runs end to end: repeatable bit for bit, resumable anywhere, and honest about how they ended."""

import csv
import dataclasses
import os
import signal
import warnings

import pytest
import torch
from support.small_runs import CPU, SMALL, TRICKS, assert_same_run, run_in, small

from rnnbench.contract import Trick
from rnnbench.results.record import Status
from rnnbench.results.run_folder import CHECKPOINTS
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Trainer
from rnnbench.training import execute as execution
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training


def test_two_runs_of_one_spec_are_bitwise_equal(tmp_path):
    spec = small(tricks=TRICKS)
    torch.manual_seed(5)
    first = run_in(tmp_path / "a", spec)
    torch.manual_seed(6)
    second = run_in(tmp_path / "b", spec)
    assert first[1].status == Status.DONE, first[1].reason
    assert_same_run(first, second)


def test_another_seed_gives_another_run(tmp_path):
    runs = [run_in(tmp_path / str(seed), small(seed=seed))[1] for seed in (0, 1)]
    assert runs[0].metrics["valid"]["loss"] != runs[1].metrics["valid"]["loss"]
    assert runs[0].spec.config_id == runs[1].spec.config_id
    assert runs[0].run_id != runs[1].run_id


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
@pytest.mark.parametrize("step", [1, 20, 33, 40, 60])
def test_a_run_stopped_and_taken_up_again_ends_bitwise_equal(
    tmp_path, monkeypatch, step, architecture
):
    recurrent = architecture == "lstm"
    width = {} if recurrent else {"architecture__hidden": 16}
    spec = small(architecture, tricks=TRICKS if recurrent else [], **width)
    whole = run_in(tmp_path / "whole", spec)
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        loss = plain(self, batch, fresh, after)
        if after.step == step:
            self.stop_signal = signal.SIGTERM
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", one_step)
        store, stopped = run_in(tmp_path / "cut", spec)
    assert stopped.status == Status.INTERRUPTED
    assert stopped.reason == f"SIGTERM at step {step}"
    assert store.finished(spec.run_id) is None
    torch.manual_seed(99)
    assert_same_run(whole, run_in(tmp_path / "cut", spec, attempt=2))


def test_a_run_killed_while_it_validates_is_taken_up_from_its_last_checkpoint(
    tmp_path, monkeypatch
):
    spec = small(tricks=TRICKS)
    whole = run_in(tmp_path / "whole", spec)
    validate, calls = Training.validate, []

    def killed(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise SystemError("killed")
        return validate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "validate", killed)
        _, crashed = run_in(tmp_path / "cut", spec)
    assert (crashed.status, crashed.reason) == (Status.CRASHED, "SystemError: killed")
    assert "killed" in (tmp_path / "cut/runs" / spec.run_id / "error.txt").read_text()
    assert_same_run(whole, run_in(tmp_path / "cut", spec, attempt=2))
    logs = [
        [line.split(",")[:3] + line.split(",")[4:] for line in text.splitlines()]
        for text in (
            (tmp_path / name / "runs" / spec.run_id / "metrics.csv").read_text()
            for name in ("whole", "cut")
        )
    ]
    assert logs[0] == logs[1], "what was logged after the checkpoint is not logged twice"


def test_a_checkpoint_of_another_kind_of_run_is_not_needed_once_it_is_done(tmp_path):
    store, record = run_in(tmp_path, small())
    assert record.status == Status.DONE
    files = {p.name for p in store.run_dir(record.run_id).iterdir()}
    assert {"record.json", "metrics.csv", "weights.safetensors"} <= files
    assert not files & set(CHECKPOINTS)


def test_the_test_split_is_touched_once_and_only_where_the_spec_says_so(tmp_path, monkeypatch):
    splits, plain = [], Training.validate

    def validate(self, split, full, examples=0):
        splits.append(split)
        return plain(self, split, full, examples)

    monkeypatch.setattr(Training, "validate", validate)
    _, searched = run_in(tmp_path / "a", small())
    assert "test" not in splits
    assert "test" not in searched.metrics
    assert searched.baselines == {}
    splits.clear()
    _, final = run_in(tmp_path / "b", small(test=True))
    assert splits.count("test") == 1
    assert splits[-1] == "test"
    assert final.metrics["test"]["bits_per_char"] > 0
    assert set(final.baselines) == {"valid", "test"}


def test_the_weights_kept_are_those_of_the_best_validation(tmp_path):
    spec = small(**{"optimizer__lr": 0.3, "budget__steps": 100})
    _, record = run_in(tmp_path, spec)
    losses = {step: values["loss"] for step, _, values in record.curve}
    assert min(losses, key=losses.get) == record.selection["step"]
    assert record.metrics["valid"]["loss"] == pytest.approx(min(losses.values()), rel=1e-6)


def test_bfloat16_trains_in_mixed_precision(tmp_path):
    _, exact = run_in(tmp_path / "a", small())
    _, mixed = run_in(tmp_path / "b", small(**{"optimizer__precision": "bf16"}))
    assert mixed.status == Status.DONE, mixed.reason
    losses = [r.metrics["valid"]["loss"] for r in (exact, mixed)]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


def test_patience_ends_a_run_early(tmp_path):
    spec = small(**{"optimizer__lr": 0.0, "budget__steps": 1000, "budget__patience": 2})
    _, record = run_in(tmp_path, spec)
    assert (record.status, record.cost["steps"]) == (Status.DONE, 60)


def test_a_loss_that_is_not_finite_is_a_result_with_its_step(tmp_path):
    store, record = run_in(tmp_path, small(**{"optimizer__lr": 1e38, "optimizer__name": "sgd"}))
    assert record.status == Status.NAN
    assert record.reason.startswith("the training loss is ")
    assert store.finished(record.run_id) is not None, "it would only fail again"


def test_a_loss_that_explodes_is_divergence(tmp_path):
    _, record = run_in(tmp_path, small(**{"optimizer__lr": 1e8, "optimizer__name": "sgd"}))
    assert record.status == Status.DIVERGED
    assert "rose to" in record.reason


def test_a_run_stopped_by_its_patience_and_killed_before_its_record_trains_no_further(
    tmp_path, monkeypatch
):
    spec = small(**{"optimizer__lr": 0.0, "budget__steps": 1000, "budget__patience": 2})
    with monkeypatch.context() as patch:
        patch.setattr(execution, "_evaluate_best", lambda *_: 1 / 0)
        run_in(tmp_path, spec)
    _, record = run_in(tmp_path, spec, attempt=2)
    assert (record.status, record.cost["steps"]) == (Status.DONE, 60)


def test_pruning_keeps_the_curve(tmp_path):
    validations = []

    def worse(step, value):
        validations.append((step, value))
        return step >= 40

    _, record = run_in(tmp_path, small(), on_validation=worse)
    assert record.status == Status.PRUNED
    assert [step for step, _ in validations] == [20, 40]
    assert [step for step, *_ in record.curve] == [20, 40]


def test_out_of_memory_is_a_status_of_its_own(tmp_path, monkeypatch):
    def burst(*_):
        raise MemoryError("7 TB wanted")

    monkeypatch.setattr(Training, "_one_step", burst)
    _, record = run_in(tmp_path, small())
    assert (record.status, record.reason) == (Status.OOM, "7 TB wanted")


@pytest.mark.parametrize(
    ("budget", "steps"),
    [({"budget.tokens": 1000}, 13), ({"budget.epochs": 0.0005}, 32), ({"budget.steps": 7}, 7)],
)
def test_budgets_in_tokens_epochs_and_steps_end_where_they_say(tmp_path, budget, steps):
    settings = {k: v for k, v in SMALL.items() if k != "budget.steps"} | budget
    spec = resolve(compose("char-lm", "elman", [], settings, test=False))
    _, record = run_in(tmp_path, spec)
    assert record.status == Status.DONE, record.reason
    if "budget.epochs" not in budget:
        assert record.cost["steps"] == steps
    assert record.cost["tokens"] == record.cost["steps"] * 4 * 20
    if "budget.epochs" in budget:
        assert record.cost["epochs"] == pytest.approx(0.0005, rel=0.05)


def test_a_budget_in_seconds_ends_in_time_and_is_validated(tmp_path):
    settings = {k: v for k, v in SMALL.items() if k != "budget.steps"} | {"budget.seconds": 0.5}
    _, record = run_in(tmp_path, resolve(compose("char-lm", "elman", [], settings, test=False)))
    assert record.status == Status.DONE
    assert 0.5 <= record.cost["train_seconds"] < 1.5
    assert record.curve[-1][0] == record.cost["steps"]


def test_the_csv_log_has_losses_and_learning_rate(tmp_path):
    store, record = run_in(tmp_path, small())
    with (store.run_dir(record.run_id) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {row["name"] for row in rows}
    assert {"train_loss", "lr", "valid_loss"} <= names
    assert [r["step"] for r in rows if r["name"] == "valid_loss"] == ["20", "40", "60"]


def test_tensorboard_gets_the_same_figures(tmp_path):
    store, trainer = Store(tmp_path), dataclasses.replace(CPU, logger="tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own dependencies
        record = execute(small(), store=store, trainer=trainer)
    assert record.provenance["telemetry"] == []
    assert list((store.run_dir(record.run_id) / "tensorboard").glob("events.*"))


def test_wandb_offline_leaves_a_run_to_sync_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdefcanary99")
    store, trainer = Store(tmp_path), dataclasses.replace(CPU, logger="wandb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of wandb's own dependencies
        record = execute(small(), store=store, trainer=trainer, sweep="mysweep")
    assert record.provenance["telemetry"] == []
    (run,) = store.run_dir(record.run_id).glob("wandb/offline-run-*/run-*.wandb")
    assert b"mysweep" in run.read_bytes()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"canary99" not in path.read_bytes(), path


def test_telemetry_that_fails_harms_no_run_and_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    record = execute(
        small(), store=Store(tmp_path), trainer=dataclasses.replace(CPU, logger="wandb")
    )
    assert record.status == Status.DONE
    assert "WANDB_MODE=offline" in record.provenance["telemetry"][0]
    assert "left out of this run" in capsys.readouterr().err


def test_a_signal_ends_a_run_in_order(tmp_path, monkeypatch):
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        if after.step == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, batch, fresh, after)

    monkeypatch.setattr(Training, "_one_step", one_step)
    before = signal.getsignal(signal.SIGINT)
    _, record = run_in(tmp_path, small(), quiet=False)
    assert (record.status, record.reason) == (Status.INTERRUPTED, "SIGINT at step 30")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_trick_that_breaks_in_training_is_a_crash_with_its_reason(tmp_path, monkeypatch):
    from rnnbench_tricks.clip import Clip

    def broken(self, parameters, at):
        raise RuntimeError("no gradient today")

    monkeypatch.setattr(Clip, "gradient", broken)
    assert issubclass(Clip, Trick)
    _, record = run_in(tmp_path, small(tricks=["clip"]))
    assert (record.status, record.reason) == (Status.CRASHED, "RuntimeError: no gradient today")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_a_run_on_a_gpu_is_repeatable_and_near_the_cpu(tmp_path):
    spec, gpu = small(tricks=TRICKS), Trainer(accelerator="gpu")
    runs = [execute(spec, store=Store(tmp_path / n), trainer=gpu) for n in "ab"]
    assert runs[0].metrics == runs[1].metrics
    bare = small()
    on_gpu = execute(bare, store=Store(tmp_path / "c"), trainer=gpu)
    _, on_cpu = run_in(tmp_path / "d", bare)
    assert on_gpu.metrics["valid"]["loss"] == pytest.approx(
        on_cpu.metrics["valid"]["loss"], rel=1e-3
    )


def test_a_signal_repeated_at_once_is_one_request_and_later_acts_as_before():
    from rnnbench.training import stopping

    requests, before = [], []
    old = signal.signal(signal.SIGTERM, lambda number, _: before.append(number))
    try:
        with stopping.signals(requests.append):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (requests, before) == ([signal.SIGTERM] * 2, [])
            stopping.PATIENCE_SECONDS, patience = 0.0, stopping.PATIENCE_SECONDS
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                stopping.PATIENCE_SECONDS = patience
            assert before == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, old)
