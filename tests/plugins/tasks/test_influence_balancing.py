"""Influence balancing: its system, its optimum, and which gradients find it."""

import pytest
import torch

from rnnbench.contract import Moment, Refusal
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Optimizer
from rnnbench.trained.load import load_run
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step
from rnnbench_architectures import influence_balancing as architecture
from rnnbench_architectures.lstm import LSTM
from rnnbench_tasks.influence_balancing import InfluenceBalancing
from rnnbench_tricks.inverse_sqrt import InverseSqrt
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.tbptt import TBPTT
from rnnbench_tricks.uoro import UORO


def system(task, tricks, theta=0.0):
    model = assemble(architecture.InfluenceBalancing(), task, tricks)
    with torch.no_grad():
        model.backbone.theta.fill_(theta)
    return model


def at_rest(theta):
    task = InfluenceBalancing()
    data = task.data("valid", 0)
    model = system(task, TrickFold(), theta).double()
    batch = data.batch(data.order(1, None)[0], None)
    with torch.no_grad():
        return batch, model(batch._replace(x=batch.x.double())).out[0, :, 0]


def test_the_first_two_steps_are_those_worked_by_hand():
    """A small system of three units, the last of them negative: s_i = (s_i + s_{i+1}) / 2 + θ b."""
    cell = architecture.LinearSystem(units=3, negative=1)
    with torch.no_grad():
        cell.theta.fill_(2.0)
    x = torch.zeros(1, 1)
    _, one = cell.step(x, cell.initial(x))
    assert one[0].tolist() == [[2.0, 2.0, -2.0]]
    _, two = cell.step(x, one)
    assert two[0].tolist() == [[4.0, 2.0, -3.0]]


def test_at_rest_the_first_unit_is_minus_six_theta():
    batch, out = at_rest(-1 / 6)
    assert out[500:].tolist() == pytest.approx([1.0] * 100, abs=1e-6)
    assert batch.y[0, :500].isnan().all()
    assert (batch.y[0, 500:] == 1).all()
    _, out = at_rest(0.5)
    assert float(out[-1]) == pytest.approx(-3.0, abs=1e-6)


def trained(trick, length=1, steps=400, batch=1, seed=0):
    """θ after so many steps of the stream, with the paper's learning rate."""
    torch.manual_seed(seed)
    task, tricks = InfluenceBalancing(length=length), TrickFold([*trick, InverseSqrt()])
    model = system(task, tricks)
    optimizer = make_optimizer(Optimizer(name="sgd", lr=5e-4), model.parameters(), tricks)
    data, memory, state = task.data("train", 0), {}, None
    rng = torch.Generator()
    for i, key in enumerate(data.order(batch, rng)[: steps // length]):
        optimizer.zero_grad()
        at = Moment(i, 0.0)
        state = training_step(model, tricks, data.batch(key, rng), state, at, carried=True,
                              optimizer=optimizer, memory=memory).state  # fmt: skip
        optimizer.step()
    return float(model.backbone.theta.detach())


def test_the_exact_gradient_has_the_right_sign_and_truncated_ones_the_wrong_one():
    assert -1 < trained([RTRL()], length=100) < 0
    for k in (1, 10, 50):
        assert trained([TBPTT(k1=k)], length=100) > 0, k
    assert trained([], length=100, steps=2000) > 0


def test_sixteen_rows_of_uoro_move_theta_the_right_way():
    assert -2 < trained([UORO()], length=100, steps=1000, batch=16) < 0


def test_a_window_that_slides_by_one_step_sees_more_than_one_that_jumps():
    """Every error is traced back 50 steps, where the sum of influences is nearly the whole one."""
    assert trained([TBPTT(k1=1, k2=50)], length=100) < 0 < trained([TBPTT(k1=50)], length=100)


def test_other_tasks_are_refused_by_the_system_and_other_models_may_do_the_task():
    from rnnbench_tasks.adding import Adding

    with pytest.raises(Refusal, match="one value a step"):
        assemble(architecture.InfluenceBalancing(), Adding(), TrickFold())
    assemble(LSTM(hidden=4), InfluenceBalancing(), TrickFold())
    with pytest.raises(ValueError, match="settle"):
        InfluenceBalancing(settle=600)
    with pytest.raises(Refusal, match="negative"):
        architecture.InfluenceBalancing(units=5, negative=6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rtrl_and_uoro_reach_minus_one_sixth(tmp_path, seed):
    for trick in ("rtrl", "uoro"):
        spec = resolve(compose("influence-balancing", "influence-balancing",
                               [trick, "inverse-sqrt"],
                               {"task.length": 200, "optimizer.batch": 16, "budget.steps": 100,
                                "budget.validate_every": 50}, seed=seed))  # fmt: skip
        store = Store(tmp_path)
        record = execute(spec, store=store)
        assert record.status is Status.DONE, record.reason
        model = load_run(store, record.run_id).model
        theta = float(model.backbone.theta.detach())
        print(f"{trick}, seed {seed}: theta {theta:.8f}, mse {record.metrics['test']['mse']:.3g}")
        assert theta == pytest.approx(-1 / 6, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("k1", [1, 10, 50, 100])
def test_truncated_back_propagation_diverges_or_keeps_the_wrong_sign(tmp_path, k1):
    spec = resolve(compose("influence-balancing", "influence-balancing",
                           [f"tbptt:k1={k1}", "inverse-sqrt"],
                           {"task.length": 200, "budget.steps": 200 if k1 < 50 else 1000,
                            "budget.validate_every": 200}))  # fmt: skip
    record = execute(spec, store=Store(tmp_path))
    print(f"k1 = {k1}: {record.status.value}, {record.metrics}, {record.reason}")
    if record.status is not Status.DIVERGED:
        assert record.metrics["test"]["mse"] > 1
