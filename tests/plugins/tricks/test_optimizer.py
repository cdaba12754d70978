"""Averages and schedules against torch's own, hand-worked numbers, and through whole runs."""

import contextlib
import csv
import signal

import pytest
import torch
from safetensors.torch import load_file
from support.toys import TOYS, TinyLSTM
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rnnbench.contract import Refusal, WrappedOptimizer
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Optimizer, Trainer
from rnnbench.training.dry_run import check
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training
from rnnbench.training.train_step import TrickFold, averaged, make_optimizer
from rnnbench_tricks.ema import EMA
from rnnbench_tricks.lookahead import Lookahead
from rnnbench_tricks.nt_asgd import NTASGD
from rnnbench_tricks.warmup_cosine import WarmupCosine

INNER = [
    Optimizer(name="adam", lr=0.1),
    Optimizer(name="sgd", lr=0.1, momentum=0.9),
    Optimizer(name="rmsprop", lr=0.1),
]


every_inner = pytest.mark.parametrize("inner", INNER, ids=lambda o: o.name)


def walk(model, optimizer, steps, after=lambda step: None):
    """Steps on random gradients, the same for every model of one shape."""
    random = torch.Generator().manual_seed(3)
    for step in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=random, dtype=p.dtype)
        optimizer.step()
        after(step)


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 2).double()


def evaluated(model, optimizer):
    with optimizer.averaged():
        return [p.detach().clone() for p in model.parameters()]


def trained(model):
    return [p.detach().clone() for p in model.parameters()]


# ------------------------------------------------------------------------------------------- ema


@every_inner
def test_ema_without_correction_is_torch_s_averaged_model(inner):
    model, plain = linear(), linear()
    ours = make_optimizer(inner, model.parameters(), TrickFold([EMA(0.9, bias_correction=False)]))
    theirs = make_optimizer(inner, plain.parameters(), TrickFold())
    average = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(plain)  # a_0 = θ_0
    walk(model, ours, 7)
    walk(plain, theirs, 7, lambda _: average.update_parameters(plain))
    torch.testing.assert_close(evaluated(model, ours), trained(average.module))
    torch.testing.assert_close(trained(model), trained(plain))


def test_ema_with_correction_worked_by_hand():
    """Weights 1, 2, 4 with decay ½: a = ½·4 + ¼·2 + ⅛·1 = 2.625, over 1 - ⅛: 3."""
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = EMA(decay=0.5).optimizer(torch.optim.SGD([p], lr=1.0))
    for gradient in (-1.0, -1.0, -2.0):
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert p.item() == 4
    with optimizer.averaged():
        assert p.item() == pytest.approx(3.0)
    assert p.item() == 4


def test_the_trained_weights_come_back_when_an_evaluation_fails():
    model = linear()
    optimizer = make_optimizer(INNER[0], model.parameters(), TrickFold([EMA(0.9)]))
    walk(model, optimizer, 3)
    before = trained(model)
    with contextlib.suppress(KeyError), optimizer.averaged():
        raise KeyError
    assert all(map(torch.equal, before, trained(model)))


# --------------------------------------------------------------------------------------- nt-asgd


@every_inner
def test_nt_asgd_averages_from_where_validation_has_not_improved_for_n_validations(inner):
    """n = 2 on 9 8 7 7.5 7.2 7.1: at t = 4 the validations before t - n are 9 and 8, at t = 5 also
    7, and 7.1 > 7. A validation every 3 steps, so T = 18."""
    model, kept = linear(), []
    optimizer = make_optimizer(inner, model.parameters(), TrickFold([NTASGD(interval=2)]))
    values = iter([9, 8, 7, 7.5, 7.2, 7.1, 3, 2, 1])

    def after(step):
        if step + 1 >= 18:
            kept.append(trained(model))
        if (step + 1) % 3 == 0:
            optimizer.observe(next(values), better=False)
        started = "average" in optimizer.memory
        assert started == (step + 1 >= 18), step

    walk(model, optimizer, 25, after)
    mean = [torch.stack(parts).mean(0) for parts in zip(*kept, strict=True)]
    torch.testing.assert_close(evaluated(model, optimizer), mean)
    plain = linear()
    walk(plain, make_optimizer(inner, plain.parameters(), TrickFold()), 25)
    torch.testing.assert_close(trained(model), trained(plain))


def test_before_its_trigger_nt_asgd_evaluates_the_trained_weights():
    model = linear()
    optimizer = make_optimizer(INNER[0], model.parameters(), TrickFold([NTASGD(interval=0)]))
    walk(model, optimizer, 4, lambda step: optimizer.observe(-step, better=True))
    assert all(map(torch.equal, evaluated(model, optimizer), trained(model)))


# ------------------------------------------------------------------------------------- lookahead


@every_inner
def test_lookahead_equals_its_algorithm(inner):
    k, alpha = 3, 0.4
    model, plain = linear(), linear()
    ours = make_optimizer(inner, model.parameters(), TrickFold([Lookahead(k, alpha)]))
    theirs = make_optimizer(inner, plain.parameters(), TrickFold())
    slow = trained(plain)

    def after(step):
        if (step + 1) % k == 0:
            for phi, p in zip(slow, plain.parameters(), strict=True):
                phi += alpha * (p.detach() - phi)
                p.data.copy_(phi)

    walk(model, ours, 8)
    walk(plain, theirs, 8, after)
    torch.testing.assert_close(trained(model), trained(plain))
    torch.testing.assert_close(evaluated(model, ours), slow)


def test_an_average_may_stand_around_lookahead_and_around_nothing_else_that_averages():
    check(TinyLSTM(), TOYS["lm"], [Lookahead(), EMA()], batch=TOYS["lm"].example())
    for tricks in ([EMA(), Lookahead()], [EMA(), NTASGD()], [NTASGD(), WarmupCosine(), EMA()]):
        with pytest.raises(Refusal, match=r"which weights are evaluated"):
            check(TinyLSTM(), TOYS["lm"], tricks, batch=TOYS["lm"].example())


# ------------------------------------------------------------------------------------ whole runs

SMALL = {
    "task.length": 20, "task.valid_characters": 2000, "architecture.hidden": 10,
    "optimizer.batch": 4, "budget.steps": 30, "budget.validate_every": 6,
}  # fmt: skip


AVERAGING = {
    "nt-asgd:interval=0": {"optimizer.lr": 1.0, "budget.validate_every": 3},
    "ema:decay=0.9": {},
    "lookahead:k=4": {},
}


REACTING = {"plateau:patience=0": {"optimizer.lr": 0.3}, "warmup-cosine": {}, "sam": {},
            "weight-decay": {}, "omega": {}, "gradient-noise": {}}  # fmt: skip


CPU = Trainer(accelerator="cpu", log_every=1)


def run_in(folder, trick, settings=None, architecture="lstm", **options):
    name, _, given = trick.partition(":")
    chosen = {**SMALL, **(settings or {})}
    if given:
        key, value = given.split("=")
        chosen[f"tricks.{name}.{key}"] = float(value) if "." in value else int(value)
    spec = resolve(compose("char-lm", architecture, [name], chosen, test=False))
    store = Store(folder)
    return store, execute(spec, store=store, trainer=CPU, **options)


def weights_of(store, record):
    return load_file(store.run_dir(record.run_id) / "weights.safetensors")


@pytest.mark.parametrize("trick", [*AVERAGING, *REACTING])
def test_a_run_stopped_and_taken_up_again_ends_bitwise_equal(tmp_path, monkeypatch, trick):
    settings = {**AVERAGING, **REACTING}[trick]
    whole = run_in(tmp_path / "whole", trick, settings)
    assert whole[1].status == Status.DONE, whole[1].reason
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        loss = plain(self, batch, fresh, after)
        if after.step == 21:
            self.stop_signal = signal.SIGTERM
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", one_step)
        _, stopped = run_in(tmp_path / "cut", trick, settings)
    assert stopped.status == Status.INTERRUPTED
    again = run_in(tmp_path / "cut", trick, settings, attempt=2)
    assert again[1].metrics == whole[1].metrics
    left, right = weights_of(*whole), weights_of(*again)
    assert all(torch.equal(left[k], right[k]) for k in left)
    assert [row[2] for row in again[1].curve] == [row[2] for row in whole[1].curve]


@pytest.mark.parametrize("trick", AVERAGING)
def test_the_weights_that_are_kept_are_the_averaged_ones(tmp_path, monkeypatch, trick):
    seen = {}
    close = Training.close_round

    def close_round(self):
        close(self)
        values = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        with averaged(self.optimizer):
            average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        seen[self.loader.position.step] = values, average

    monkeypatch.setattr(Training, "close_round", close_round)
    store, record = run_in(tmp_path, trick, AVERAGING[trick])
    values, average = seen[record.selection["step"]]
    kept = weights_of(store, record)
    assert all(torch.equal(kept[k], average[k]) for k in kept)
    assert any(not torch.equal(kept[k], values[k]) for k in kept), "the trained ones are others"


def test_the_log_shows_the_learning_rate_that_was_used(tmp_path):
    store, record = run_in(tmp_path, "warmup-cosine", {"tricks.warmup-cosine.warmup": 0.5})
    with (store.run_dir(record.run_id) / "metrics.csv").open() as log:
        rows = [r for r in csv.DictReader(log) if r["name"] == "lr"]
    trick, base = WarmupCosine(warmup=0.5), record.spec.optimizer.lr
    assert [int(r["step"]) for r in rows][:4] == [6, 12, 18, 24]
    for row in rows:
        assert float(row["value"]) == pytest.approx(base * trick.factor(int(row["step"]) / 30))


def test_what_is_observed_is_lower_where_it_is_better(tmp_path, monkeypatch):
    """listops selects by accuracy, of which more is better."""
    seen = []
    monkeypatch.setattr(WrappedOptimizer, "observe", lambda self, *given: seen.append(given))
    settings = {"architecture.hidden": 8, "task.train_items": 100, "budget.steps": 12,
                "budget.validate_every": 3}  # fmt: skip
    spec = resolve(compose("listops", "lstm", ["lookahead"], settings, test=False))
    record = execute(spec, store=Store(tmp_path), trainer=CPU)
    measured = [values["accuracy"] for _, _, values in record.curve]
    assert [value for value, _ in seen] == [-v for v in measured]
    best = [v > max(measured[:i], default=-1) for i, v in enumerate(measured)]
    assert [better for _, better in seen] == best
