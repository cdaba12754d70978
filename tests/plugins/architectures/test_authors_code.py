"""Blocks and starts against the equations of the authors' code, written here once more."""

import math

import pytest
import torch
from torch.nn import functional as F

from rnnbench.contract import decays
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.deltanet import DeltaNet
from rnnbench_architectures.hawk import Hawk, RGLRUCell
from rnnbench_architectures.indrnn import IndRNN
from rnnbench_architectures.lru import LRU
from rnnbench_architectures.mamba import Mamba
from rnnbench_architectures.mist import MIST, MISTCell
from rnnbench_architectures.retnet import Retention, RetNet
from rnnbench_architectures.s4d import S4D
from rnnbench_architectures.tcn import TCN
from rnnbench_architectures.tcn import Block as TCNBlock
from rnnbench_architectures.xlstm import XLSTM, MLSTMMixer, SLSTMMixer


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def built(plugin, d_in=5):
    torch.manual_seed(0)
    return plugin.build(d_in, causal=True).double()


def parts(backbone):
    """The parts of the residual blocks, from below."""
    return [block.part for block in backbone.layers[1:-1]]


def by_head(x, heads):
    return x.unflatten(-1, (heads, -1))


def rms(x, eps=1e-6):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def convolved(x, conv):
    """A causal convolution of each channel alone, of (B, T, C), with zeros before the text."""
    padded = F.pad(x, (0, 0, conv.weight.shape[-1] - 1, 0))
    windows = padded.unfold(1, conv.weight.shape[-1], 1)
    y = (windows * conv.weight[:, 0]).sum(-1)
    return y if conv.bias is None else y + conv.bias


def deviation(weight):
    return float(weight.detach().double().std())


# --- DeltaNet, of flash-linear-attention


def test_a_block_of_deltanet_is_the_authors():
    mixer, mlp = parts(built(DeltaNet(hidden=12, layers=1, heads=3, expand=2)))
    x, state, outputs = drawn(2, 40, 12), torch.zeros(2, 3, 4, 4).double(), []
    q, k, v = F.silu(convolved(x @ mixer.into.weight.T, mixer.convolution.convolve)).chunk(3, -1)
    q, k, v = (by_head(part, 3) for part in (q, k, v))
    q, k = (part / (part.square().sum(-1, keepdim=True) + 1e-6).sqrt() for part in (q, k))
    beta = torch.sigmoid(x @ mixer.strength.weight.T)
    for t in range(40):
        key = k[:, t]
        old = torch.einsum("bhvk,bhk->bhv", state, key)
        written = beta[:, t, :, None] * (v[:, t] - old)
        state = state + torch.einsum("bhv,bhk->bhvk", written, key)
        outputs.append(torch.einsum("bhvk,bhk->bhv", state, q[:, t] * 4**-0.5))
    o = (rms(torch.stack(outputs, 1)) * mixer.norm.weight).flatten(2)
    torch.testing.assert_close(mixer(x)[0], o @ mixer.out.weight.T, atol=1e-9, rtol=1e-9)
    gate, up = (x @ mlp.module.into.weight.T).chunk(2, -1)
    expected = (F.silu(gate) * up) @ mlp.module.out.weight.T
    torch.testing.assert_close(mlp(x)[0], expected, atol=1e-12, rtol=0)


def test_deltanet_has_no_bias_and_starts_with_small_normal_weights():
    found = parts(built(DeltaNet(hidden=64, layers=2)))
    weights = {name: p for part in found for name, p in part.named_parameters()}
    assert not [name for name in weights if "bias" in name]
    assert {p.shape for name, p in weights.items() if "norm" in name} == {(16,)}
    for name, p in weights.items():
        if p.dim() > 1:
            assert deviation(p) == pytest.approx(0.02, rel=0.1), name


# --- RetNet, of torchscale


def test_a_block_of_retnet_is_the_authors_up_to_the_scale_that_its_norm_takes_back():
    mixer, mlp = parts(built(RetNet(hidden=16, layers=1, heads=2)))
    x, steps = drawn(2, 70, 16), 70
    q, k, v, g = (x @ mixer.into.weight.T).split([16, 16, 32, 32], -1)
    k = k * 8**-0.5
    angle = (1.0 / 10000 ** torch.linspace(0, 1, 4, dtype=torch.float64)).repeat_interleave(2)
    at = torch.arange(steps).double()
    sin, cos = torch.sin(at[:, None] * angle), torch.cos(at[:, None] * angle)

    def turned(part):
        part = by_head(part, 2).transpose(1, 2)
        other = torch.stack([-part[..., 1::2], part[..., ::2]], -1).flatten(-2)
        return part * cos + other * sin

    decay = torch.log(1 - 2.0 ** (-5 - torch.arange(2).double()))
    lag = at[:, None] - at
    mask = torch.exp(lag * decay[:, None, None]) * (lag >= 0)
    mask = mask / mask.sum(-1, keepdim=True).sqrt()
    scores = (turned(q) @ turned(k).transpose(2, 3)) * mask
    scores = scores / scores.abs().sum(-1, keepdim=True).clamp(min=1)
    y = (scores @ by_head(v, 2).transpose(1, 2)).transpose(1, 2)
    expected = (F.silu(g) * rms(y, 0.0).flatten(2)) @ mixer.out.weight.T
    mixer.norm.eps = 0.0  # what the norm adds before it divides, 1e-6, is all that knows the scale
    torch.testing.assert_close(mixer(x)[0], expected, atol=1e-5, rtol=1e-5)
    gate, up = (x @ mlp.module.into.weight.T).chunk(2, -1)
    expected = (F.gelu(gate) * up) @ mlp.module.out.weight.T
    torch.testing.assert_close(mlp(x)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("heads", [1, 3, 8])
def test_retention_fades_by_the_number_of_the_head(heads):
    gamma = Retention(16 * heads, heads).log_decay_H.exp()
    wanted = [1 - 2.0 ** (-5 - head) for head in range(heads)]
    assert gamma.tolist() == pytest.approx(wanted, abs=1e-7)


def test_retention_starts_with_the_authors_gains():
    mixer = Retention(64, 4, values=2)
    for part, rows in zip(mixer.into.weight.split([64, 64, 128, 128]), (64, 64, 128, 128),
                          strict=True):  # fmt: skip
        bound = 2**-2.5 * math.sqrt(6 / (64 + rows))
        assert float(part.detach().abs().max()) == pytest.approx(bound, rel=0.01)
        assert deviation(part) == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert float(mixer.out.weight.detach().abs().max()) == pytest.approx(
        0.5 * math.sqrt(6 / 192), rel=0.01
    )
    assert not [name for name, _ in RetNet(hidden=16).build(3, causal=True).named_parameters()
                if "bias" in name and not name.startswith("layers.0")]  # fmt: skip


# --- xLSTM, of NX-AI


def test_slstms_start_without_recurrence_and_forget_by_a_power_law():
    found = parts(built(XLSTM(hidden=32, layers=3, heads=4, blocks="slstm")))[::2]
    at = torch.arange(8).double() / 7
    for block, mixer in enumerate(found):
        i, f, z, o = mixer.cell.bias_x.chunk(4)
        wanted = 5 - 12 * at ** (0.3 + 1.3 * block / 2)
        torch.testing.assert_close(f, wanted.repeat(4), atol=1e-5, rtol=0)
        for zero in (i, z, o, mixer.cell.bias_h, mixer.cell.weight_h):
            assert not zero.any()
        assert deviation(mixer.cell.weight_x) == pytest.approx(math.sqrt(2 / 160), rel=0.05)


def test_maps_of_xlstm_start_small_and_those_that_end_a_branch_smaller():
    width = 32
    backbone = built(XLSTM(hidden=width, layers=3, heads=4))
    small, end = math.sqrt(2 / (5 * width)), 2 / 3 / math.sqrt(width)
    for part in parts(backbone):
        if isinstance(part, MLSTMMixer):
            for weight in (part.into.weight, part.q.weight, part.k.weight, part.v.weight):
                assert deviation(weight) == pytest.approx(small, rel=0.15)
            assert deviation(part.out.weight) == pytest.approx(end, rel=0.1)
            assert not part.gates.weight.any()
            assert part.gates.bias[4:].tolist() == pytest.approx([3, 4, 5, 6])
        elif not isinstance(part, SLSTMMixer):
            assert deviation(part.module.into.weight) == pytest.approx(small, rel=0.1)
            assert deviation(part.module.out.weight) == pytest.approx(end, rel=0.1)


def test_blocks_of_xlstm_are_the_authors_around_their_memories():
    backbone = built(XLSTM(hidden=8, layers=2, heads=2))
    mlstm, slstm, mlp = parts(backbone)
    x = drawn(2, 9, 8)
    assert [type(m).__name__ for m in (backbone.layers[1].norm, backbone.layers[-1].module)] == [
        "LayerNorm", "LayerNorm",
    ]  # fmt: skip
    u = F.silu(convolved(x, slstm.convolution.convolve))
    gates = torch.cat([u @ slstm.cell.weight_x[:16].T, x @ slstm.cell.weight_x[16:].T], -1)
    found = slstm.cell.project(torch.cat([u, x], -1), ())
    torch.testing.assert_close(found, gates + slstm.cell.bias_x, atol=1e-12, rtol=0)
    h = by_head(slstm.cell(torch.cat([u, x], -1))[0], 2)
    expected = ((h - h.mean(-1, keepdim=True)) / (h.var(-1, keepdim=True, correction=0) + 1e-5)
                .sqrt()).flatten(2)  # fmt: skip
    torch.testing.assert_close(slstm(x)[0], expected, atol=1e-11, rtol=0)
    gate, up = (x @ mlp.module.into.weight.T).chunk(2, -1)
    expected = (F.gelu(gate) * up) @ mlp.module.out.weight.T
    torch.testing.assert_close(mlp(x)[0], expected, atol=1e-12, rtol=0)
    inner = drawn(2, 9, 16)
    blocks = torch.block_diag(*mlstm.q.weight)  # four of 4 × 4
    torch.testing.assert_close(mlstm.q(inner), inner @ blocks.T, atol=1e-12, rtol=0)


# --- Hawk, of recurrentgemma


def test_the_decay_of_the_rg_lru_starts_on_the_authors_ring():
    torch.manual_seed(0)
    size = torch.exp(-F.softplus(RGLRUCell(5000).decay))
    assert 0.9 <= size.min() < 0.901
    assert 0.998 < size.max() <= 0.999001
    area = (size.square() - 0.81) / (0.999**2 - 0.81)
    assert area.mean().item() == pytest.approx(0.5, abs=0.02)
    assert area.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.01)


def test_a_block_of_hawk_is_the_authors_and_starts_as_theirs():
    width, layers = 64, 3
    mixer, mlp = parts(built(Hawk(hidden=width, layers=layers)))[:2]
    cell, x = mixer.cell, drawn(2, 9, width)
    y, u = (x @ mixer.into.weight.T).chunk(2, -1)
    u = convolved(u, mixer.convolution.convolve)
    r, i = torch.sigmoid(u @ cell.gates.weight.T).chunk(2, -1)
    log_a, h, outputs = -8 * r * F.softplus(cell.decay), torch.zeros(2, width).double(), []
    for t in range(9):
        a = torch.exp(log_a[:, t])
        h = a * h + (1 - a * a).sqrt() * i[:, t] * u[:, t]
        outputs.append(h)
    expected = (torch.stack(outputs, 1) * F.gelu(y, approximate="tanh")) @ mixer.out.weight.T
    torch.testing.assert_close(mixer(x)[0], expected, atol=1e-12, rtol=0)
    gate, up = (x @ mlp.module.into.weight.T).chunk(2, -1)
    expected = (F.gelu(gate, approximate="tanh") * up) @ mlp.module.out.weight.T
    torch.testing.assert_close(mlp(x)[0], expected, atol=1e-12, rtol=0)
    for weight, variance in (
        (mixer.into.weight, 1 / width), (cell.gates.weight, 1 / width),
        (mlp.module.into.weight, 1 / width), (mixer.out.weight, 2 / layers / width),
        (mlp.module.out.weight, 2 / layers / (3 * width)),
        (mixer.convolution.convolve.weight, 0.01 / 4),
    ):  # fmt: skip
        assert deviation(weight) == pytest.approx(math.sqrt(variance), rel=0.15)


# --- Mamba


def test_mamba_starts_with_branches_that_shrink_with_depth():
    for layers in (1, 4):
        for mixer in parts(built(Mamba(hidden=32, layers=layers))):
            bound = 1 / math.sqrt(64 * layers)
            assert float(mixer.out.weight.detach().abs().max()) == pytest.approx(bound, rel=0.02)


# --- MIST, of mist-rnns, and TCN, of locuslab


def test_mist_and_tcn_start_as_their_authors_code_does():
    torch.manual_seed(0)
    cell = MISTCell(40, 64, 3)
    for weight in (cell.weight_x, cell.weight_h, cell.weight_m):
        assert deviation(weight) == pytest.approx(1 / 8, rel=0.1)
    assert not cell.bias.any()
    torch.manual_seed(0)
    theirs = torch.nn.Conv1d(5, 64, 3)
    torch.manual_seed(0)
    block = TCNBlock(5, 64, 3, 1, 0.0)
    torch.testing.assert_close(block.first.direction, theirs.weight)
    torch.testing.assert_close(block.first.gain, theirs.weight.flatten(1).norm(dim=1))
    torch.testing.assert_close(block.first.bias, theirs.bias)
    assert deviation(block.skip.weight) == pytest.approx(0.01, rel=0.15)


# --- What never decays


NEVER = {
    Mamba(hidden=8): {"log_decay", "around", "steps.bias"},
    S4D(hidden=8, units=2): {"log_step", "log_decay", "frequency"},
    LRU(hidden=8, units=2): {"log_rate", "log_angle", "log_scale", "into"},
    Hawk(hidden=8): {"decay"},
    IndRNN(hidden=8): {"recurrent", "bias_x"},
}


@pytest.mark.parametrize("plugin", NEVER, ids=lambda plugin: plugin.name)
def test_what_the_authors_exempt_from_weight_decay_never_decays(plugin):
    model = assemble(plugin, TOYS["lm"], TrickFold())
    names = {name for name, p in model.named_parameters() if not decays(p)}
    ends = NEVER[plugin]
    assert {end for end in ends for name in names if name.endswith("." + end)} == ends
    assert all(name.endswith(tuple("." + end for end in ends)) for name in names)


def test_xlstm_decays_maps_alone():
    backbone = XLSTM(hidden=8, heads=2).build(3, causal=True)
    named = {name: decays(p) for name, p in backbone.named_parameters() if p.dim() > 1}
    assert {name.rpartition(".")[2] for name, so in named.items() if not so} == {"weight_h"}
    assert not any(decays(p) for p in backbone.parameters() if p.dim() < 2)


# --- Where tokens enter


STARTS = {
    Mamba(hidden=64): 0.02, DeltaNet(hidden=64): 0.02, Hawk(hidden=64): 64**-0.5,
    XLSTM(hidden=64): math.sqrt(2 / (5 * 64)), RetNet(hidden=64): 1.0, LRU(hidden=64): 1.0,
}  # fmt: skip


@pytest.mark.parametrize("plugin", STARTS, ids=lambda plugin: plugin.name)
def test_tables_of_tokens_start_as_in_the_authors_code_and_enter_unmapped(plugin):
    for toy in ("lm", "translate"):
        torch.manual_seed(0)
        model = assemble(plugin, TOYS[toy], TrickFold())
        for part in model.modules():
            if isinstance(part, torch.nn.Embedding):
                assert deviation(part.weight) == pytest.approx(STARTS[plugin], rel=0.15)
                assert decays(part.weight) == (plugin.name != "xlstm")
        assert isinstance(model.backbone.layers[0].module, torch.nn.Identity)


def test_runs_from_before_the_authors_starts_stay_apart():
    for plugin in (DeltaNet, RetNet, XLSTM, Hawk, Mamba, S4D, LRU, MIST, TCN, IndRNN):
        assert plugin.version >= 2, plugin.name
