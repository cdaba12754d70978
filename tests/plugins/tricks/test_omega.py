"""Omega against its paper's equations, written out as loops."""

import itertools

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Batch, Moment, Port, Refusal
from rnnbench.nn import CellWrapper, GatedCell, Model
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.omega import Omega, Watched
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout

NOW = Moment(step=10, progress=0.5)


# ----------------------------------------------------------------------------------------- omega


class Stream(Model):
    """A cell and a linear readout, whose loss is the mean square of all outputs."""

    def __init__(self, cell):
        super().__init__(Port(width=1))
        self.cell, self.readout = cell, self.readout_for(cell.width)

    def forward(self, batch, state=None, feed=None):
        from rnnbench.contract import Result

        hidden, state = self.cell(batch.x, state, batch.layout)
        return Result(self.readout(hidden), hidden, state)


def example(cell, rows=3, steps=4, seed=0):
    torch.manual_seed(seed)
    model = Stream(cell).double()
    batch = Batch(
        torch.randn(rows, steps, 2, dtype=torch.float64),
        torch.randn(rows, steps, 1, dtype=torch.float64),
    )
    return model, batch


def states_and_gradients(model, batch):
    """Per step the state (B, S) of all parts side by side, and ∂L/∂s, by the cell's own steps."""
    cell, state = model.cell, model.cell.initial(batch.x[:, 0])
    states, hidden = [state], []
    for x in batch.x.unbind(1):
        y, state = cell.step(x, state)
        states.append(state)
        hidden.append(y)
    loss = model.loss(model.readout(torch.stack(hidden, 1)), batch)
    parts = [s for state in states[1:] for s in state]
    found = torch.autograd.grad(loss, parts, allow_unused=True)
    found = [torch.zeros_like(s) if g is None else g for s, g in zip(parts, found, strict=True)]
    many = len(states[0])
    gradients = [torch.cat(found[i : i + many], -1) for i in range(0, len(found), many)]
    return [torch.cat(s, -1).detach() for s in states], gradients


def naive_omega(model, batch, states, gradients):
    """Σ_k of the mean over rows, with the Jacobian of one step made component by component."""
    total, rows, steps = 0.0, *batch.x.shape[:2]
    many = len(model.cell.initial(batch.x[:, 0]))
    for k, b in itertools.product(range(steps), range(rows)):

        def step(flat, k=k, b=b):
            state = tuple(s[None] for s in flat.chunk(many))
            return torch.cat(model.cell.step(batch.x[b : b + 1, k], state)[1], -1)[0]

        jacobian = torch.autograd.functional.jacobian(step, states[k][b])
        v = gradients[k][b]
        total += ((v @ jacobian).norm() / v.norm() - 1).item() ** 2 / rows
    return total


@pytest.mark.parametrize(
    "cell",
    [lambda: ElmanCell(2, 3), lambda: LSTMCell(2, 3, peepholes=True),
     lambda: GRUCell(2, 3, reset="before")],
    ids=["elman", "lstm", "gru"],
)  # fmt: skip
def test_omega_and_its_immediate_gradient_are_those_of_the_paper(cell):
    """The gradient by central differences, with s_k and ∂L/∂s_{k+1} held fixed."""
    model, batch = example(cell())
    states, gradients = states_and_gradients(model, batch)
    expected = naive_omega(model, batch, states, gradients)
    omega = Omega(weight=0.7).model(model, None)
    penalty = omega(batch).penalty
    assert penalty.item() == pytest.approx(0.7 * expected, rel=1e-9)
    penalty.backward()
    inner = model.cell.inner
    plain = Stream(inner)
    with torch.no_grad():
        for i, j in [(0, 0), (2, 1), (inner.weight_h.shape[0] - 1, 2)]:
            h, values = 1e-6, []
            for side in (h, -h):
                inner.weight_h[i, j] += side
                values.append(0.7 * naive_omega(plain, batch, states, gradients))
                inner.weight_h[i, j] -= side
            slope = (values[0] - values[1]) / (2 * h)
            assert inner.weight_h.grad[i, j].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)
    assert inner.weight_x.grad is None, "the input of a step is a constant"
    assert model.readout.weight.grad is None, "∂L/∂s is a constant"


def test_omega_of_a_rotation_is_zero():
    """A linear step whose matrix is orthogonal keeps every norm."""

    class Linear(GatedCell):
        def update(self, gates_x, gates_h, state):
            return (gates_x + gates_h,)

    cell = Linear(2, 4)
    model, batch = example(cell)
    nn.init.orthogonal_(cell.weight_h)
    assert Omega().model(model, None)(batch).penalty.item() == pytest.approx(0.0, abs=1e-20)


def test_omega_sees_the_steps_that_no_gradient_reaches_as_nothing():
    model, batch = example(LSTMCell(2, 3))
    whole = Omega().model(model, None)
    full = whole(batch).penalty.item()
    longer = Batch(
        torch.cat([batch.x, torch.randn(3, 2, 2).double()], 1),
        torch.cat([batch.y, torch.full((3, 2, 1), torch.nan).double()], 1),
    )
    # Targets beyond the end are missing, so nothing flows back into the last two steps.
    assert whole(longer).penalty.item() == pytest.approx(full, rel=1e-9)


def test_omega_still_sees_gradients_whose_squares_underflow():
    found = []
    for size in (1.0, 1e-30):
        torch.manual_seed(0)
        model, batch = example(ElmanCell(2, 3))
        model.float()
        batch = Batch(batch.x.float(), batch.y.float())
        loss = model.loss
        model.loss = lambda out, batch, loss=loss, size=size: loss(out, batch) * size
        found.append(Omega().model(model, None)(batch).penalty.item())
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[0] > 0.1


class Stepwise(CellWrapper):
    """Dropout on the hidden state whose masks are drawn within the step."""

    def advance(self, p_BG, state, seen_BH=None):
        _, (h, *rest) = super().advance(p_BG, state, seen_BH)
        h = nn.functional.dropout(h, 0.5, self.training)
        return h, (h, *rest)


class Counting(CellWrapper):
    """Keeps a running mean in a buffer, which it also uses."""

    def __init__(self, inner):
        super().__init__(inner)
        self.register_buffer("mean", torch.ones(()).double())

    def advance(self, p_BG, state, seen_BH=None):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9)
        _, (h, *rest) = super().advance(p_BG, state, seen_BH)
        h = h * self.mean.clone()
        return h, (h, *rest)


@pytest.mark.parametrize("wrap", [Stepwise, Counting])
def test_omega_repeats_steps_that_draw_or_remember_as_they_were(wrap):
    """The Jacobian of each step as it was: with the mask that was drawn, and the mean at hand."""
    model, batch = example(wrap(LSTMCell(2, 3)))
    torch.manual_seed(4)
    states, cell = [model.cell.initial(batch.x[:, 0])], model.cell
    jacobians, hidden = [], []
    for x in batch.x.unbind(1):
        state = tuple(s.detach().requires_grad_() for s in states[-1])
        before, buffers = torch.get_rng_state(), [b.clone() for b in cell.buffers()]
        jacobians.append(
            torch.autograd.functional.jacobian(
                lambda *s, x=x, before=before, buffers=buffers: redo(cell, x, s, before, buffers),
                state,
            )
        )
        redo(cell, x, state, before, buffers)
        torch.set_rng_state(before)
        put(cell, buffers)
        y, new = cell.step(x, states[-1])
        states.append(new)
        hidden.append(y)
    loss = model.loss(model.readout(torch.stack(hidden, 1)), batch)
    parts = [s for state in states[1:] for s in state]
    found = torch.autograd.grad(loss, parts, allow_unused=True)
    found = [torch.zeros_like(s) if g is None else g for s, g in zip(parts, found, strict=True)]
    expected = 0.0
    for k, blocks in enumerate(jacobians):
        v = found[2 * k : 2 * k + 2]
        for b in range(3):
            u = [
                sum(v[i][b] @ blocks[i][j][b, :, b] for i in range(2)) for j in range(2)
            ]  # fmt: skip
            norms = [torch.cat(parts).norm() for parts in (u, [v[0][b], v[1][b]])]
            if norms[1] > 0:
                expected += (norms[0] / norms[1] - 1).item() ** 2 / 3
    put(cell, [torch.ones(()).double() for _ in cell.buffers()])
    watched = Omega().model(model, None)
    torch.manual_seed(4)
    penalty = watched(batch).penalty
    after = torch.get_rng_state()
    kept = [b.clone() for b in cell.buffers()]
    assert penalty.item() == pytest.approx(expected, rel=1e-9)
    put(cell, [torch.ones(()).double() for _ in cell.buffers()])
    torch.manual_seed(4)
    for x in range(4):
        state = cell.step(batch.x[:, x], states[x])
    assert torch.equal(after, torch.get_rng_state()), "noise goes on from where the pass left it"
    assert all(map(torch.equal, kept, cell.buffers()))


def put(cell, buffers):
    with torch.no_grad():
        for b, value in zip(cell.buffers(), buffers, strict=True):
            b.copy_(value)


def redo(cell, x, state, random, buffers):
    torch.set_rng_state(random)
    put(cell, buffers)
    return cell.step(x, state)[1]


@pytest.mark.parametrize("other", [Zoneout(rate=0.4), VariationalDropout(input=0.3, hidden=0.3)])
def test_omega_stands_outside_of_other_wrappers_and_leaves_their_masks_alone(other):
    tricks = TrickFold([Omega(), other])
    model = assemble(TinyLSTM(), TOYS["lm"], tricks)
    watched = [m for m in model.modules() if isinstance(m, Watched)]
    assert len(watched) == 1
    assert type(watched[0].inner) is not LSTMCell
    state = watched[0].inner.initial(torch.randn(2, 6))
    assert len(watched[0].moving(state)) == 2, "masks are no part of the state that moves"
    training_step(model, tricks, TOYS["lm"].example(), None, NOW)
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert not watched[0].passes, "the graph is let go of"


def test_omega_leaves_evaluation_alone_and_is_refused_without_a_cell():
    model = assemble(TinyLSTM(), TOYS["lm"], TrickFold([Omega()])).eval()
    with torch.no_grad():
        assert model(TOYS["lm"].example()).penalty is None
    with pytest.raises(Refusal, match="no cell"):
        check(Transformer(hidden=8, heads=2), TOYS["lm"], [Omega()], batch=TOYS["lm"].example())


# ------------------------------------------------------------------------------- sparse gradient


def kept(g, k):
    """The k components of largest magnitude."""
    order = sorted(range(len(g)), key=lambda i: -abs(g[i].item()))
    return torch.stack([g[i] if i in order[:k] else torch.zeros_like(g[i]) for i in range(len(g))])
