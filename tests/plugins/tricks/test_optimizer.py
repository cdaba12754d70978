"""Averages and schedules against torch's own, hand-worked numbers, and through whole runs."""

import contextlib
import csv
import math
import signal

import pytest
import torch
from safetensors.torch import load_file
from support.toys import TOYS, TinyLSTM
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rnnbench.contract import Moment, Refusal, WrappedOptimizer
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Optimizer, Trainer
from rnnbench.training.dry_run import check
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.ema import EMA
from rnnbench_tricks.inverse_sqrt import InverseSqrt
from rnnbench_tricks.lookahead import Lookahead
from rnnbench_tricks.nt_asgd import NTASGD
from rnnbench_tricks.plateau import Plateau
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.warmup_cosine import WarmupCosine
from rnnbench_tricks.weight_decay import WeightDecay, kinds_of

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


# ------------------------------------------------------------------------------------- schedules


def rates(optimizer, steps, before=lambda step: None):
    found = []
    for step in range(steps):
        before(step)
        optimizer.schedule(Moment(step, (step + 1) / steps))
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_warmup_and_cosine_are_torch_s_schedulers_one_after_the_other():
    """20 steps, 5 of them warm-up; torch's count begins at 0, so its rates are one step late."""
    p, q = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    ours = WarmupCosine(warmup=0.25, last=0.1).optimizer(torch.optim.SGD([p], lr=0.2))
    theirs = torch.optim.SGD([q], lr=0.2)
    warm = torch.optim.lr_scheduler.LinearLR(theirs, 1e-9, 1.0, total_iters=5)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 15, eta_min=0.02)
    both = torch.optim.lr_scheduler.SequentialLR(theirs, [warm, fall], milestones=[5])
    expected = []
    for _ in range(20):
        theirs.step()
        both.step()
        expected.append(theirs.param_groups[0]["lr"])
    assert rates(ours, 20) == pytest.approx(expected, rel=1e-6)


def test_the_cosine_worked_by_hand():
    trick = WarmupCosine(warmup=0.2, last=0.0)
    assert trick.factor(0.1) == pytest.approx(0.5)
    assert trick.factor(0.2) == 1.0
    assert trick.factor(0.6) == pytest.approx(0.5)
    assert trick.factor(0.8) == pytest.approx((1 + math.cos(math.pi * 0.75)) / 2)
    assert trick.factor(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize(("patience", "factor", "least"), [(0, 0.5, 0.0), (2, 0.3, 0.02)])
def test_plateau_is_torch_s_scheduler_without_its_threshold(patience, factor, least):
    values = [3.0, 2.0, 2.0, 2.5, 2.1, 1.9, 1.95, 1.95, 1.95, 1.95, 1.8, 5, 5, 5, 5, 5, 5, 5, 5]
    p, q = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    ours = Plateau(factor, patience, least).optimizer(torch.optim.SGD([p], lr=0.2))
    theirs = torch.optim.SGD([q], lr=0.2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=factor, patience=patience, min_lr=least, threshold=0.0, eps=0.0
    )
    best = math.inf
    for step, value in enumerate(values):
        ours.observe(value, better=value < best)
        best = min(best, value)
        scheduler.step(value)
        ours.schedule(Moment(step, 0.5))
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize("form", ["inside", "outside"])
def test_a_rate_falls_with_the_root_of_all_steps_those_within_a_batch_included(form):
    def expected(t):
        return 0.2 / (math.sqrt(1 + 0.5 * t) if form == "inside" else 1 + 0.5 * math.sqrt(t))

    p = nn.Parameter(torch.zeros(1))
    optimizer = InverseSqrt(alpha=0.5, form=form).optimizer(torch.optim.SGD([p], lr=0.2))
    p.grad, used, before = torch.ones(1), [], 0.0
    for batch in range(4):  # of three steps each, as an online estimator takes them
        optimizer.schedule(Moment(batch, batch / 4))
        for _ in range(3):
            optimizer.step()
            used.append(before - p.item())
            before = p.item()
    assert used == pytest.approx([expected(t) for t in range(12)], rel=1e-5)


def test_schedules_multiply_in_either_order():
    for first, second in ((Plateau(0.5, 0), WarmupCosine(0.0, 0.2)),
                          (WarmupCosine(0.0, 0.2), Plateau(0.5, 0))):  # fmt: skip
        p = nn.Parameter(torch.zeros(1))
        optimizer = second.optimizer(first.optimizer(torch.optim.SGD([p], lr=0.8)))
        assert isinstance(optimizer, WrappedOptimizer)
        found = rates(optimizer, 4, lambda step, o=optimizer: o.observe(step, better=step == 0))
        cosine = [WarmupCosine(0.0, 0.2).factor(i / 4) for i in (1, 2, 3, 4)]
        assert found == pytest.approx([0.8 * c / 2**i for i, c in enumerate(cosine)])


# ---------------------------------------------------------------------------------- weight decay


def one_kind(model, kind):
    """An optimiser of torch knows no kinds: groups by hand."""
    kinds = kinds_of(model)
    return [
        {"params": [p for p in model.parameters() if kinds[p] == kind]},
        {"params": [p for p in model.parameters() if kinds[p] != kind], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("decoupled", [True, False])
def test_weight_decay_of_recurrent_matrices_is_torch_s_on_a_group_of_these(decoupled):
    tricks = TrickFold([WeightDecay(recurrent=0.3, decoupled=decoupled)])
    torch.manual_seed(0)
    model = assemble(TinyLSTM(), TOYS["lm"], tricks)
    torch.manual_seed(0)
    plain = assemble(TinyLSTM(), TOYS["lm"], TrickFold())
    ours = make_optimizer(Optimizer(lr=0.05), model.parameters(), tricks)
    cls = torch.optim.AdamW if decoupled else torch.optim.Adam
    theirs = cls(one_kind(plain, "recurrent"), lr=0.05, weight_decay=0.3)
    random = torch.Generator().manual_seed(3)
    for _ in range(5):
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=random)
            q.grad = p.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(trained(model), trained(plain))


def test_every_parameter_is_of_one_kind():
    model = assemble(LSTM(hidden=6, peepholes=True), TOYS["translate"], TrickFold())
    named = {name: kinds_of(model)[p] for name, p in model.named_parameters()}
    assert named["embed.map.weight"] == "embedding"
    assert named["encoder.layers.0.weight_h"] == "recurrent"
    assert named["backbone.layers.0.weight_x"] == "input"
    assert named["encoder.layers.0.bias_x"] == named["encoder.layers.0.peephole_i"] == "bias"
    assert named["readout.weight"] == named["condition.weight"] == "other"
    tied = assemble(TinyLSTM(), TOYS["lm"], TrickFold([TiedWeights()]))
    assert kinds_of(tied)[tied.readout.weight] == "embedding"


def test_decay_of_a_kind_that_a_model_has_none_of_is_refused():
    with pytest.raises(Refusal, match="recurrent"):
        check(Transformer(hidden=8, heads=2), TOYS["lm"], [WeightDecay()],
              batch=TOYS["lm"].example())  # fmt: skip
    with pytest.raises(Refusal, match="embedding"):
        check(TinyLSTM(), TOYS["classify"], [WeightDecay(embedding=0.1)],
              batch=TOYS["classify"].example())  # fmt: skip


def test_decoupled_decay_follows_the_scheduled_learning_rate():
    p = nn.Parameter(torch.ones(1, dtype=torch.float64))
    p.kind_for_weight_decay = "other"
    sgd = torch.optim.SGD([p], lr=0.5)
    decay = WeightDecay(recurrent=0.0, other=0.2)
    optimizer = decay.optimizer(WarmupCosine(warmup=0.5).optimizer(sgd))
    optimizer.schedule(Moment(0, 0.25))  # half of the rate
    p.grad = torch.zeros(1, dtype=torch.float64)
    optimizer.step()
    assert p.item() == pytest.approx(1 - 0.25 * 0.2)


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
        with self.averaged():
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
