"""Multidimensional networks against the paper's equations, worked cell by cell."""

import itertools
import math

import pytest
import torch

from rnnbench.contract import Layout, Port, Refusal
from rnnbench.nn.layouts.grids import corners, diagonals
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS, LookAhead, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.mdlstm import MDLSTM
from rnnbench_architectures.mdrnn import MDRNN
from rnnbench_tasks.digits_grid import DigitsGrid


class TestMDRNN(ArchitectureLaws):
    tiny = MDRNN(hidden=8)


class TestMDLSTM(ArchitectureLaws):
    tiny = MDLSTM(hidden=8)


class TestMDLSTMFromAllCorners(ArchitectureLaws):
    tiny = MDLSTM(hidden=4, directions="all", peepholes=True)


class TestConvexMDLSTM(ArchitectureLaws):
    tiny = MDLSTM(hidden=8, memory="convex")


WIDTH, HIDDEN = 2, 2
GRIDS = [(4,), (3, 4), (2, 3, 2)]


def built(architecture, causal=False, seed=0):
    torch.manual_seed(seed)
    return architecture.build(WIDTH, causal=causal).double().eval()


def inputs(grid, rows=2, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, math.prod(grid), WIDTH, dtype=torch.float64, generator=g)


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def dot(weights, values):
    return sum(w * v for w, v in zip(weights, values, strict=True))


def by_cells(grid, x, cell, direction, step):
    """h of each point for one direction, point by point: `step` gets x and the neighbours."""
    outputs = torch.zeros(*x.shape[:2], HIDDEN, dtype=torch.float64)
    strides = [math.prod(grid[d + 1 :]) for d in range(len(grid))]
    backwards = [bool(direction >> (len(grid) - 1 - d) & 1) for d in range(len(grid))]
    for row in range(len(x)):
        states = {}
        for p in itertools.product(*map(range, grid)):
            real = [n - 1 - q if back else q for n, q, back in zip(grid, p, backwards, strict=True)]
            at = sum(q * s for q, s in zip(real, strides, strict=True))
            near = [
                states.get(tuple(q - (d == e) for e, q in enumerate(p)), ([0] * HIDDEN,) * 2)
                for d in range(len(grid))
            ]
            states[p] = step(cell, direction, x[row, at].tolist(), near)
            outputs[row, at] = torch.tensor(states[p][0], dtype=torch.float64)
    return outputs


def pre_activation(cell, r, row, x, near):
    a = dot(cell.weight_x[r, row].tolist(), x) + cell.bias[r, row].item()
    return a + sum(dot(cell.weight_h[r, d, row].tolist(), h) for d, (h, _) in enumerate(near))


def mdrnn_step(cell, r, x, near):
    h = [math.tanh(pre_activation(cell, r, unit, x, near)) for unit in range(HIDDEN)]
    return h, h


def mdlstm_step(cell, r, x, near):
    """The gates' rows are stacked i, o, f_1 … f_n, g."""
    dims, h, c = len(near), [], []
    for unit in range(HIDDEN):
        a_i, a_o, *a_f, a_g = (
            pre_activation(cell, r, k * HIDDEN + unit, x, near) for k in range(dims + 3)
        )
        if cell.peephole is not None:
            w_i, w_o, *w_f = cell.peephole[r, :, unit].tolist()
            a_i += sum(w_i * c_d[unit] for _, c_d in near)
            a_f = [a + w * c_d[unit] for a, w, (_, c_d) in zip(a_f, w_f, near, strict=True)]
        memory = sigmoid(a_i) * math.tanh(a_g)
        for a, (_, c_d) in zip(a_f, near, strict=True):
            memory += sigmoid(a) * c_d[unit]
        if cell.peephole is not None:
            a_o += w_o * memory
        c.append(memory)
        h.append(sigmoid(a_o) * math.tanh(memory))
    return h, c


def stable_step(cell, r, x, near):
    """The gates' rows are stacked i, o, f, λ_2 … λ_n, g."""
    dims, h, c = len(near), [], []
    for unit in range(HIDDEN):
        a_i, a_o, a_f, *a_share, a_g = (
            pre_activation(cell, r, k * HIDDEN + unit, x, near) for k in range(dims + 3)
        )
        if dims == 2:
            second = sigmoid(a_share[0])
            share = [1 - second, second]
        else:
            powers = [1.0, *map(math.exp, a_share)]
            share = [p / sum(powers) for p in powers]
        before = sum(s * c_d[unit] for s, (_, c_d) in zip(share, near, strict=True))
        memory = sigmoid(a_i) * math.tanh(a_g) + sigmoid(a_f) * before
        c.append(memory)
        h.append(sigmoid(a_o) * math.tanh(memory))
    return h, c


CASES = {
    "mdrnn": (MDRNN, {}, mdrnn_step),
    "mdlstm": (MDLSTM, {}, mdlstm_step),
    "peepholes": (MDLSTM, {"peepholes": True}, mdlstm_step),
    "convex": (MDLSTM, {"memory": "convex"}, stable_step),
}


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("combine", ["concatenate", "sum"])
def test_every_direction_equals_its_equations_point_by_point_and_unit_by_unit(grid, case, combine):
    kind, settings, step = CASES[case]
    architecture = kind(
        hidden=HIDDEN, dimensions=len(grid), directions="all", combine=combine, **settings
    )
    backbone, x = built(architecture), inputs(grid)
    (cell,) = backbone.layers
    parts = [by_cells(grid, x, cell, r, step) for r in range(2 ** len(grid))]
    wanted = sum(parts) if combine == "sum" else torch.cat(parts, -1)
    y, _ = backbone(x, None, Layout(None, grid))
    torch.testing.assert_close(y, wanted)


def test_a_grid_of_two_by_two_gives_what_was_worked_out_by_hand():
    """One unit, every weight 1, bias 0, and 0.5 everywhere; what is asked for is the memory c."""
    backbone = built(MDLSTM(hidden=1))
    with torch.no_grad():
        for name, p in backbone.named_parameters():
            p.fill_(0.0 if "bias" in name else 1.0)
    x = torch.full((1, 4, WIDTH), 0.25, dtype=torch.float64)  # the two inputs sum to 0.5
    y, _ = backbone(x, None, Layout(None, (2, 2)))
    # (0,0): a = 0.5; σ = 0.62246, tanh = 0.46212; c = 0.28765; h = 0.62246 · 0.27997 = 0.17427
    # (0,1), (1,0): a = 0.67427; σ = 0.66246, tanh = 0.58778;
    #        c = 0.66246 · 0.58778 + 0.66246 · 0.28765 = 0.57994; h = 0.66246 · 0.52262 = 0.34621
    # (1,1): a = 0.5 + 2 · 0.34621 = 1.19243; σ = 0.76717, tanh = 0.83133;
    #        c = 0.76717 · (0.83133 + 2 · 0.57994) = 1.52760; h = 0.76717 · 0.91001 = 0.69814
    wanted = torch.tensor([0.17427, 0.34621, 0.34621, 0.69814], dtype=torch.float64)
    torch.testing.assert_close(y[0, :, 0], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("memory", ["sum", "convex"])
def test_in_one_dimension_it_is_an_lstm(memory):
    """torch's, with copied weights, gradients included."""
    backbone = built(MDLSTM(hidden=4, dimensions=1, memory=memory))
    lstm = torch.nn.LSTM(WIDTH, 4, batch_first=True).double()
    (cell,) = backbone.layers

    def reordered(weight):
        i, o, f, g = weight.chunk(4)
        return torch.cat([i, f, g, o])

    with torch.no_grad():
        lstm.weight_ih_l0.copy_(reordered(cell.weight_x[0]))
        lstm.weight_hh_l0.copy_(reordered(cell.weight_h[0, 0]))
        lstm.bias_ih_l0.copy_(reordered(cell.bias[0]))
        lstm.bias_hh_l0.zero_()
    x, results = inputs((6,)), []
    for run in (lambda x: backbone(x, None, Layout(None, (6,)))[0], lambda x: lstm(x)[0]):
        x_in = x.clone().requires_grad_()
        y = run(x_in)
        y.square().sum().backward()
        results.append((y.detach(), x_in.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(reordered(cell.weight_h.grad[0, 0]), lstm.weight_hh_l0.grad)
    torch.testing.assert_close(reordered(cell.bias.grad[0]), lstm.bias_ih_l0.grad)


def test_gradients_are_those_of_finite_differences():
    backbone, grid = built(MDLSTM(hidden=2, directions="all", peepholes=True)), (2, 3)
    x = inputs(grid, rows=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: backbone(x, None, Layout(None, grid))[0], x)


def test_memory_may_blow_up_where_it_is_summed_and_not_where_it_is_convex():
    """With every gate open, c counts paths; a convex memory grows by 1 a diagonal at most."""
    grid, largest = (8, 8), {}
    for memory in ("sum", "convex"):
        cell = built(MDLSTM(hidden=1, memory=memory)).layers[0]
        with torch.no_grad():
            for p in cell.parameters():
                p.zero_()
            cell.bias.fill_(40.0)
        seen = []
        update = cell.update

        def remembering(a, near, update=update, seen=seen):
            states = update(a, near)
            seen.append(states[1].max().item())
            return states

        cell.update = remembering
        cell(torch.zeros(1, 64, WIDTH, dtype=torch.float64), None, Layout(None, grid))
        largest[memory] = max(seen)
    # The sum's c obeys c(i, j) = 1 + c(i-1, j) + c(i, j-1), whose solution is C(i+j+2, i+1) - 1.
    assert largest["sum"] == pytest.approx(math.comb(16, 8) - 1)
    assert 1 < largest["convex"] <= 15


def test_an_anti_diagonal_holds_the_points_of_one_sum_of_coordinates():
    plan = diagonals((3, 4), False)
    assert plan.counts == (1, 2, 3, 3, 2, 1)
    assert [i // 4 + i % 4 for i in plan.order_RT[0]] == [0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5]


def test_as_many_steps_are_taken_as_there_are_diagonals():
    cell = built(MDRNN(hidden=2)).layers[0]
    calls, update = [], cell.update
    cell.update = lambda a, near: calls.append(a.shape[1]) or update(a, near)
    cell(inputs((28, 28)), None, Layout(None, (28, 28)))
    assert len(calls) == 55
    assert sum(calls) == 784


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_one_direction_sees_nothing_that_comes_later(grid):
    backbone = built(MDLSTM(hidden=3, dimensions=len(grid)), causal=True)
    x, layout = inputs(grid), Layout(None, grid)
    before, _ = backbone(x, None, layout)
    for t in range(1, x.shape[1]):
        changed = x.clone()
        changed[:, t:] += 1.0
        assert torch.equal(backbone(changed, None, layout)[0][:, :t], before[:, :t])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_each_corner_that_is_read_has_seen_the_whole_grid(grid):
    backbone = built(MDRNN(hidden=3, dimensions=len(grid), directions="all"))
    x = inputs(grid, rows=1).requires_grad_()
    y, _ = backbone(x, None, Layout(None, grid))
    summary = corners(y, grid)
    assert summary.shape == (1, backbone.width)
    for part in summary.chunk(2 ** len(grid), -1):
        (gradient,) = torch.autograd.grad(part.sum(), x, retain_graph=True)
        assert (gradient.abs().sum(-1) > 0).all()


def test_a_task_of_one_vector_reads_the_corners():
    toy = MORE_TOYS["grid"]
    model = assemble(MDLSTM(hidden=4, directions="all"), toy, TrickFold()).eval()
    result = model(toy.example())
    y = result.hidden.view(4, 2, 3, 4, 4)  # rows, columns, directions
    at = [y[:, 1, 2, 0], y[:, 1, 0, 1], y[:, 0, 2, 2], y[:, 0, 0, 3]]
    torch.testing.assert_close(result.out, model.readout(torch.cat(at, -1)))


def test_other_dimensions_are_refused_in_the_dry_run():
    cube = LookAhead(ports=(Port(width=2, layout="grid"), Port(width=1)), ragged=False,
                     grid=(2, 3, 2))  # fmt: skip
    with pytest.raises(Refusal, match=r"the grid is 2 x 3 x 2\.\n +Set architecture.dimensions=3"):
        check(MDLSTM(hidden=4), cube, batch=cube.example())
    assert check(MDLSTM(hidden=4, dimensions=3), cube, batch=cube.example()).device == "meta"


def test_all_directions_are_refused_where_looking_ahead_is_forbidden():
    causal = Toy("ALIGNED", (Port(width=2, layout="grid"), Port(width=1)))
    with pytest.raises(Refusal, match=r"mdrnn looks ahead.*\n +Set architecture.directions=one"):
        check(MDRNN(hidden=4, directions="all"), causal, batch=causal.example())
    check(MDRNN(hidden=4), causal, batch=causal.example())


def test_only_whole_grids_are_read():
    with pytest.raises(Refusal, match="mdlstm reads grid layouts"):
        check(MDLSTM(hidden=4), TOYS["classify"], batch=TOYS["classify"].example())
    backbone, x = built(MDLSTM(hidden=4)), inputs((2, 3))
    with pytest.raises(Refusal, match=r"mdlstm reads grids, .* plain sequence"):
        backbone(x)
    with pytest.raises(ValueError, match="rows of a grid are full"):
        backbone(x, None, Layout(torch.tensor([6, 5]), (2, 3)))
    with pytest.raises(ValueError, match="is not 6 steps"):
        backbone(x, None, Layout(None, (2, 2)))
    with pytest.raises(Refusal, match="batches continue each other"):
        backbone.carry((None,))


def test_peepholes_of_a_convex_memory_are_refused():
    with pytest.raises(Refusal, match="Drop peepholes"):
        MDLSTM(memory="convex", peepholes=True)


@pytest.mark.slow
def test_mdlstm_beats_a_flat_lstm_of_equal_size_on_the_grid_task():
    """The setting of sweeps/trees-and-grids.yaml at its middle rate, on one seed."""
    from support.learning import accuracy_after

    task = DigitsGrid()
    flat, flat_size = accuracy_after(task, LSTM(hidden=48), steps=600, rate=5e-3, batch=32)
    grid, grid_size = accuracy_after(task, MDLSTM(hidden=35), steps=600, rate=5e-3, batch=32)
    assert abs(grid_size / flat_size - 1) < 0.05
    assert grid > flat + 0.05, (grid, flat)
