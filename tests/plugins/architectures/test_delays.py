"""NARX, skip, MIST and dilated networks against loops over single units, and torch's kernels."""

import math

import pytest
import torch
from torch import nn

from rnnbench.contract import Layout, Refusal
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures._delays import DelayCell
from rnnbench_architectures.dilated import Dilated, DilatedRNN, Fuse
from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_architectures.mist import MIST, MISTCell
from rnnbench_architectures.narx import NARX, NARXCell
from rnnbench_architectures.skip import Skip, SkipCell
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


class TestNARX(ArchitectureLaws):
    tiny = NARX(hidden=4, delays=3)


class TestSkip(ArchitectureLaws):
    tiny = Skip(hidden=4, skip=3)


class TestMIST(ArchitectureLaws):
    tiny = MIST(hidden=4, delays=3)


class TestDilated(ArchitectureLaws):
    tiny = DilatedRNN(hidden=4, layers=2)


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def redraw(module, scale=0.5):
    module = module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(scale * drawn(*p.shape, seed=i))
    return module


def dot(row, vector):
    return sum(w * v for w, v in zip(row, vector, strict=True))


def before(history, delay, units):
    """h of `delay` steps ago, 0 before the first step."""
    return history[-delay] if delay <= len(history) else [0.0] * units


def narx_loop(cell, x, units=3):
    w_x, w_h, b = cell.weight_x.tolist(), cell.weight_h.tolist(), cell.bias.tolist()
    history = []
    for x_t in x.tolist():
        h = []
        for n in range(units):
            s = dot(w_x[n], x_t) + b[n]
            for d in range(1, len(cell.delays) + 1):
                s += dot(w_h[n][(d - 1) * units : d * units], before(history, d, units))
            h.append(math.tanh(s))
        history.append(h)
    return history


def skip_loop(cell, x, units=3):
    w_x, w_h, w_s, b = (
        p.tolist() for p in (cell.weight_x, cell.weight_h, cell.weight_skip, cell.bias)
    )
    history = []
    for x_t in x.tolist():
        last, skipped = before(history, 1, units), before(history, cell.delays[-1], units)
        history.append(
            [
                math.tanh(dot(w_x[n], x_t) + dot(w_h[n], last) + dot(w_s[n], skipped) + b[n])
                for n in range(units)
            ]
        )
    return history


def mist_loop(cell, x, units=3):
    w_x, w_h, u, b = (p.tolist() for p in (cell.weight_x, cell.weight_h, cell.weight_m, cell.bias))
    delays = [2**i for i in range(len(cell.delays))]
    n, history = len(delays), []
    for x_t in x.tolist():
        last = before(history, 1, units)
        score = [math.exp(dot(w_x[i], x_t) + dot(w_h[i], last) + b[i]) for i in range(n)]
        a = [s / sum(score) for s in score]
        r = [
            1 / (1 + math.exp(-(dot(w_x[k], x_t) + dot(w_h[k], last) + b[k])))
            for k in range(n, n + units)
        ]
        mixed = [
            r[k] * sum(a[i] * before(history, d, units)[k] for i, d in enumerate(delays))
            for k in range(units)
        ]
        top = n + units
        history.append(
            [
                math.tanh(dot(w_x[top + k], x_t) + dot(u[k], mixed) + b[top + k])
                for k in range(units)
            ]
        )
    return history


LOOPS = {
    "narx": (NARXCell(2, 3, 4), narx_loop),
    "narx of one delay": (NARXCell(2, 3, 1), narx_loop),
    "skip": (SkipCell(2, 3, 5), skip_loop),
    "mist": (MISTCell(2, 3, 4), mist_loop),
    "mist of one delay": (MISTCell(2, 3, 1), mist_loop),
}


@pytest.mark.parametrize("name", LOOPS)
def test_it_equals_a_loop_over_units(name):
    cell, loop = LOOPS[name]
    cell, x = redraw(cell), drawn(1, 13, 2)
    expected = torch.tensor(loop(cell, x[0])).double()
    for path in (cell.forward, cell.scan):
        assert torch.allclose(path(x)[0][0], expected, atol=1e-13)


def test_two_steps_of_skip_by_hand():
    cell = SkipCell(1, 1, 2).double()
    with torch.no_grad():
        for p, value in zip(cell.parameters(), (1.0, 0.5, 2.0, 0.25), strict=True):
            p.fill_(value)
    y, _ = cell(torch.tensor([[[1.0], [0.0], [0.0]]]).double())
    one = math.tanh(1.25)
    two = math.tanh(0.25 + 0.5 * one)
    three = math.tanh(0.25 + 0.5 * two + 2.0 * one)
    assert y.flatten().tolist() == pytest.approx([one, two, three], abs=1e-14)


def test_narx_of_one_delay_is_the_simple_recurrent_network_of_torch():
    cell, theirs = NARXCell(3, 4, 1), nn.RNN(3, 4, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(cell.weight_x)
        theirs.weight_hh_l0.copy_(cell.weight_h)
        theirs.bias_ih_l0.copy_(cell.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 6, 3)
    assert torch.allclose(cell(x)[0], theirs(x)[0], atol=1e-6)


def test_mist_attends_to_the_delay_that_its_scores_prefer():
    cell = redraw(MISTCell(2, 3, 3))
    with torch.no_grad():
        cell.bias[2] = 100.0  # the delay of 4 steps
        for row in (0, 1, 2):
            cell.weight_x[row], cell.weight_h[row] = 0.0, 0.0
    h, earlier = cell.initial(drawn(1, 2))
    plain = cell(drawn(1, 1, 2), (h, earlier))[0]
    for place in range(3):  # oldest first: 4, 3 and 2 steps ago
        moved = earlier.clone()
        moved[:, place] += 1.0
        gap = (cell(drawn(1, 1, 2), (h, moved))[0] - plain).abs().max().item()
        assert (gap > 1e-3) == (place == 0)


def test_delays_must_rise_from_one():
    for delays in ((2, 3), (1, 3, 2), (1, 1)):
        with pytest.raises(ValueError, match="rise from 1"):
            DelayCell(4, delays)


def test_a_mask_on_one_of_several_delayed_states_is_refused():
    model = assemble(NARX(hidden=4, delays=3), TOYS["lm"], TrickFold([VariationalDropout()]))
    with pytest.raises(Refusal, match="3 delays"):
        model(TOYS["lm"].example())


# --- dilated


def dilated_loop(cell, x, dilation):
    """The plain cell stepped from its state of `dilation` steps ago."""
    states, outputs = [cell.initial(x[:, 0])] * dilation, []
    for x_t in x.unbind(1):
        y, state = cell.step(x_t, states[-dilation])
        states.append(state)
        outputs.append(y)
    return torch.stack(outputs, 1), states[-dilation:]


def gradients(module, y):
    weight = drawn(*y.shape, seed=9)
    return torch.autograd.grad((y * weight).sum(), list(module.parameters()))


@pytest.mark.parametrize("kind", [ElmanCell, GRUCell, LSTMCell])
@pytest.mark.parametrize(("dilation", "steps"), [(1, 5), (3, 9), (3, 11), (4, 2), (4, 4), (8, 21)])
def test_interleaved_sequences_equal_the_naive_loop_gradients_included(kind, dilation, steps):
    layer = Dilated(kind(2, 3).double(), dilation)
    x = drawn(2, steps, 2)
    (y, state), (expected, states) = layer(x), dilated_loop(layer.cell, x, dilation)
    assert torch.allclose(y, expected, atol=1e-13)
    for i, leaf in enumerate(state):
        assert torch.allclose(leaf, torch.stack([s[i] for s in states], 1), atol=1e-13)
    for a, b in zip(gradients(layer, y), gradients(layer, expected), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("lengths", [(1,) * 17, (5, 12), (2, 1, 3, 7, 4), (16, 1)])
def test_chunks_of_any_length_carry_the_interleaved_states(lengths):
    layer, x = Dilated(LSTMCell(2, 3).double(), 4), drawn(2, 17, 2)
    state, outputs = None, []
    for chunk in x.split(lengths, 1):
        y, state = layer(chunk, state)
        state = layer.carry(state)
        outputs.append(y)
    assert torch.allclose(torch.cat(outputs, 1), dilated_loop(layer.cell, x, 4)[0], atol=1e-13)


def test_layers_dilate_from_the_start_and_fuse_the_last_outputs():
    net = DilatedRNN(hidden=3, layers=2, base=3, start=1, cell="lstm").build(2, causal=True)
    layers, fuse = net.layers
    assert [layer.dilation for layer in layers.layers] == [3, 9]
    net, x = net.double(), drawn(2, 20, 2)
    for layer in layers.layers:
        x, _ = dilated_loop(layer.cell, x, layer.dilation)
    weight, bias = fuse.convolve.weight, fuse.convolve.bias
    expected = []
    for t in range(20):
        y = bias.expand(2, -1)
        for k in range(3):
            if t >= k:
                y = y + x[:, t - k] @ weight[:, :, 2 - k].T
        expected.append(y)
    assert torch.allclose(net(drawn(2, 20, 2))[0], torch.stack(expected, 1), atol=1e-12)


def test_nothing_is_fused_where_the_lowest_dilation_is_one():
    net = DilatedRNN(hidden=3, layers=3).build(2, causal=True)
    assert [layer.dilation for layer in net.layers] == [1, 2, 4]
    assert not any(isinstance(m, Fuse) for m in net.modules())


def test_padding_changes_no_valid_output_of_a_dilated_network():
    net = DilatedRNN(hidden=3, layers=3, start=1).build(2, causal=True).double()
    x = drawn(2, 13, 2)
    changed = x.clone()
    changed[1, 6:] = 99.0
    lengths = Layout(torch.tensor([13, 6]))
    a, b = net(x, None, lengths)[0], net(changed, None, lengths)[0]
    assert torch.equal(a[0], b[0])
    assert torch.allclose(a[1, :6], net(x[1:, :6])[0][0], atol=1e-14)
    assert torch.equal(a[1, :6], b[1, :6])


def test_cell_tricks_act_on_the_dilated_step():
    model = assemble(DilatedRNN(hidden=4, layers=2), TOYS["lm"], TrickFold([Zoneout(rate=0.4)]))
    layer = model.double().eval().backbone.layers[1]
    x, bare = drawn(2, 9, 4), layer.cell.inner
    states, expected = [bare.initial(x[:, 0])[0]] * 2, []
    for x_t in x.unbind(1):
        new = bare.step(x_t, (states[-2],))[0]
        states.append(0.4 * states[-2] + 0.6 * new)
        expected.append(states[-1])
    assert torch.allclose(layer(x)[0], torch.stack(expected, 1), atol=1e-13)


def test_one_mask_serves_all_interleaved_sequences_and_a_new_one_the_next_batch():
    tricks = TrickFold([VariationalDropout(input=0.5, hidden=0.5)])
    model = assemble(DilatedRNN(hidden=16, layers=2), TOYS["lm"], tricks).train()
    layer = model.backbone.layers[1]
    _, state = layer(torch.randn(2, 9, 16))
    for masks in (state[-2:], layer.carry(state)[-2:]):
        for mask in masks:
            assert torch.equal(mask[:, 0], mask[:, 1])
    assert not torch.equal(state[-1], layer.carry(state)[-1])


@pytest.mark.parametrize("cell", ["transformer", "dilated"])
def test_dilated_refuses_what_cannot_be_stepped(cell):
    with pytest.raises(Refusal, match=cell):
        DilatedRNN(hidden=8, cell=cell).build(2, causal=True)
