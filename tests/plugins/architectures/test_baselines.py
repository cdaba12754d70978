"""Baselines against slow ones that are written in the papers' terms, with copied weights."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from support.forecasting_models import built

from rnnbench.contract import Batch, Port, Refusal
from rnnbench.nn.distributions import distribution
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench_architectures.bag_of_words import BagOfWords
from rnnbench_architectures.n_gram import NGram
from rnnbench_architectures.patchtst import PatchTST
from rnnbench_architectures.seasonal_naive import SeasonalNaive
from rnnbench_architectures.segrnn import SegRNN
from rnnbench_architectures.tcn import TCN

CONTEXT, HORIZON, PAST = 11, 5, (2, 0)


@dataclass(frozen=True)
class Two(Toy):
    """Two of three columns are forecast."""

    past: ClassVar[tuple[int, ...]] = PAST  # type: ignore[misc]


def two(output="point"):
    own = None if output == "point" else distribution(output)
    ports = Port(width=3, longest=CONTEXT), Port(width=2, longest=HORIZON, distribution=own)
    return Two("UNALIGNED", ports)


def stack(tcn, d_in=2):
    """Its network in double precision, with weights whose gain is not their norm."""
    torch.manual_seed(2)
    found = tcn.build(d_in, causal=True).double().eval()
    with torch.no_grad():
        for p in found.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return found


# ------------------------------------------------------------------------------------------- tcn


@torch.no_grad()
def test_tcn_is_a_loop_over_time_steps_and_taps():
    k = 3
    network = stack(TCN(hidden=4, layers=3, kernel=k))
    x_BTD = torch.randn(2, 17, 2).double()

    def convolved(convolution, h, d):
        v, g = convolution.direction, convolution.gain
        f = torch.stack([v[c] / v[c].norm() * g[c] for c in range(len(v))])
        return [
            convolution.bias
            + sum(f[:, :, k - 1 - i] @ h[s - d * i] for i in range(k) if s - d * i >= 0)
            for s in range(len(h))
        ]

    for row in range(2):
        h = list(x_BTD[row])
        for i, block in enumerate(network.blocks):
            inner = [z.relu() for z in convolved(block.first, h, 2**i)]
            inner = [z.relu() for z in convolved(block.second, inner, 2**i)]
            wide = h if i else [block.skip.weight[:, :, 0] @ z + block.skip.bias for z in h]
            h = [(a + b).relu() for a, b in zip(inner, wide, strict=True)]
        assert torch.allclose(network(x_BTD)[0][row], torch.stack(h), atol=1e-12)


@pytest.mark.parametrize(("kernel", "layers"), [(2, 1), (2, 4), (3, 2), (5, 2)])
def test_a_tcn_sees_exactly_as_many_steps_as_it_says(kernel, layers):
    network = stack(TCN(hidden=3, layers=layers, kernel=kernel))
    with torch.no_grad():  # so that no ReLU hides a step
        for p in network.parameters():
            p.abs_()
    x = torch.rand(1, 60, 2).double().requires_grad_()
    network(x)[0][0, -1].sum().backward()
    seen = (x.grad[0].abs().sum(-1) > 0).tolist()
    reach = 1 + 2 * (kernel - 1) * (2**layers - 1)
    assert seen == [False] * (60 - reach) + [True] * reach


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1,) * 14, (5, 9), (1, 12, 1)])
def test_a_tcn_goes_on_from_its_state_whatever_the_chunks(sizes):
    network = stack(TCN(hidden=3, layers=3, kernel=3))
    x = torch.randn(2, 14, 2).double()
    parts, state = [], None
    for piece in x.split(sizes, 1):
        y, state = network(piece, state)
        parts.append(y)
    whole, last = network(x)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)
    kept = sum(z.shape[2] for pair in state for z in pair)
    assert kept == 2 * (3 - 1) * (2**3 - 1)  # no more than the receptive field needs
    for pair, other in zip(state, last, strict=True):
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(pair, other, strict=True))


def test_dropout_of_a_tcn_drops_channels_over_all_steps():
    block = stack(TCN(hidden=32, layers=1, kernel=2, dropout=0.5)).blocks[0].train()
    mask = block.drop(torch.ones(2, 32, 9))
    assert torch.equal(mask, mask[:, :, :1].expand_as(mask))
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(block.eval().drop(mask), mask)


# --------------------------------------------------------------------------------- bag of words


@torch.no_grad()
def test_bag_of_words_reads_out_the_mean_of_the_embeddings():
    task = Toy("SEQ_TO_VEC", (Port(classes=7), Port(classes=4)), ragged=True)
    model = built(BagOfWords(hidden=6), task)
    x = torch.randint(0, 7, (3, 8), generator=torch.Generator().manual_seed(0))
    len_B = torch.tensor([8, 5, 1])
    out = model(Batch(x, torch.zeros(3).long(), x_len=len_B)).out
    for row, n in enumerate(len_B.tolist()):
        mean = sum(model.embed.map.weight[w] for w in x[row, :n]) / n
        expected = model.readout.weight @ mean + model.readout.bias
        assert torch.allclose(out[row], expected, atol=1e-12)


@torch.no_grad()
def test_bag_of_words_goes_on_from_its_state_whatever_the_chunks():
    backbone, x_BTD = BagOfWords(hidden=3).build(3, causal=False), torch.randn(2, 7, 3).double()
    whole, state = backbone(x_BTD)[0], None
    parts = []
    for part in x_BTD.split([3, 1, 3], 1):
        y_BTD, state = backbone(part, state)
        parts.append(y_BTD)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_bag_of_words_is_blind_to_the_order_and_a_tcn_is_not():
    task = TOYS["regress"]
    x = torch.tensor([[1, 2, 3, 4, 5, 6, 0, 0]])
    y, turned = torch.zeros(1, 2), x[:, torch.tensor([6, 3, 0, 5, 1, 7, 4, 2])]
    bag = built(BagOfWords(hidden=6), task)
    assert torch.allclose(bag(Batch(x, y)).out, bag(Batch(turned, y)).out, atol=1e-12)
    tcn = built(TCN(hidden=6, layers=2), task)
    assert (tcn(Batch(x, y)).out - tcn(Batch(turned, y)).out).abs().max() > 1e-3


@pytest.mark.parametrize("task", ["lm", "tagging", "look-ahead", "translate", "caption"])
def test_bag_of_words_is_refused_where_each_step_is_answered(task):
    with pytest.raises(Refusal, match="reads without order"):
        check(BagOfWords(hidden=4), {**TOYS, **MORE_TOYS}[task])


@pytest.mark.parametrize(
    ("plugin", "task", "message"),
    [
        (SegRNN(segment=12), two(), "segment of 12 steps is longer than the window of 11"),
        (PatchTST(patch=12), two(), "patch of 12 steps is longer than the window of 11"),
        (PatchTST(patch=4), two("gaussian"), "not as parameters of a distribution"),
        (SegRNN(), TOYS["translate"], "segrnn forecasts series"),
        (SeasonalNaive(season=3), two("quantiles"), "asks for a distribution"),
        (SeasonalNaive(season=12), two(), "season of 12 steps lies before the window of 11"),
        (SeasonalNaive(), two(), "state no season"),
        (NGram(), TOYS["translate"], "is no language model"),
        (NGram(), TOYS["tagging"], "is no language model"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(plugin, task, message):
    with pytest.raises(Refusal, match=message):
        check(plugin, task)
