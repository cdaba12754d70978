"""Weight noise and weight drop: what a training pass reads, and that the weights stay."""

import copy

import pytest
import torch
from support.toys import TOYS
from torch import nn
from torch.nn.utils import parametrize

from rnnbench.contract import Moment, Refusal, Trick
from rnnbench.nn import scan
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.kf_rtrl import KFRTRL
from rnnbench_tricks.omega import Omega
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.weight_drop import WeightDrop
from rnnbench_tricks.weight_noise import WeightNoise
from rnnbench_tricks.zoneout import ZoneoutCell

NOW = Moment(step=10, progress=0.5)


def built(*tricks, architecture=None, toy="lm", seed=0):
    torch.manual_seed(seed)
    folded = TrickFold(tricks)
    return assemble(architecture or LSTM(hidden=6), TOYS[toy], folded), folded


def penalty(model, batch):
    result = model(batch)
    return 0.0 if result.penalty is None else result.penalty.item()


# ----------------------------------------------------------------------------------- weight noise


def test_weight_noise_changes_every_pass_and_no_weight():
    batch = TOYS["lm"].example()
    model, _ = built(WeightNoise(deviation=0.1))
    before = [p.clone() for p in model.parameters()]
    first, second = model(batch).out, model(batch).out
    assert not torch.allclose(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(model.eval()(batch).out, built()[0].eval()(batch).out)


def test_weight_noise_has_the_deviation_and_its_gradient_is_that_of_the_noisy_weights():
    class Square(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.full((20000,), 3.0))

        def forward(self):
            self.seen = self.w.detach()
            return (self.w**2).sum()

    torch.manual_seed(0)
    model = WeightNoise(deviation=0.5).model(Square(), TOYS["lm"])
    model().backward()
    assert float(model.seen.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(model.seen.std()) == pytest.approx(0.5, rel=0.02)
    torch.testing.assert_close(model.w.grad, 2 * model.seen)
    assert isinstance(model.w, nn.Parameter)


def test_weight_noise_gives_shared_weights_one_noise():
    model, _ = built(TiedWeights(), WeightNoise(deviation=0.3))
    seen = []
    model.readout.register_forward_hook(lambda m, a, o: seen.append(m.weight))
    model.embed.map.register_forward_hook(lambda m, a, o: seen.append(m.weight))
    model(TOYS["lm"].example())
    assert torch.equal(*seen)
    assert not torch.equal(seen[0], model.readout.weight)


def test_weights_are_their_own_again_after_a_pass_that_failed():
    model, _ = built(WeightNoise())
    with pytest.raises(AttributeError):
        model(None)
    assert "weight" not in model.readout.__dict__


def test_a_copy_of_a_model_with_noise_has_noise_of_its_own():
    model, _ = built(WeightNoise(deviation=0.3))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    batch = TOYS["lm"].example()
    twin(batch)
    assert all("weight" not in m.__dict__ for m in (*twin.modules(), *model.modules()))
    torch.manual_seed(3)
    ours = model(batch).out
    torch.manual_seed(3)
    assert not torch.allclose(ours, twin(batch).out)


# ------------------------------------------------------------------------------------ weight drop


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, ElmanCell])
def test_weight_drop_equals_a_pass_with_dropped_matrices_and_its_gradient_passes_the_mask(cell):
    torch.manual_seed(0)
    bare = cell(3, 5).double()
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    dropped = WeightDrop(rate=0.4).model(nn.Sequential(copy.deepcopy(bare)), TOYS["lm"])
    seen = []
    dropped[0].register_forward_hook(lambda m, a, o: seen.append(m.weight_h))
    y, _ = dropped(x)
    y.square().sum().backward()
    mask = (seen[0] != 0).double() / 0.6
    torch.testing.assert_close(seen[0], bare.weight_h * mask)
    assert 0 < int((mask == 0).sum()) < mask.numel()
    replaced = bare.weight_h.detach() * mask
    with torch.no_grad():
        bare.weight_h.copy_(replaced)
    expected, _ = bare.scan(x)
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(dropped[0].weight_h.grad, bare.weight_h.grad * mask)
    torch.testing.assert_close(dropped[0].weight_x.grad, bare.weight_x.grad)


def test_weight_drop_is_off_at_evaluation():
    batch = TOYS["lm"].example()
    model, plain = built(WeightDrop(rate=0.8))[0], built()[0]
    assert not torch.allclose(model(batch).out, plain(batch).out)
    assert torch.equal(model.eval()(batch).out, plain.eval()(batch).out)


@pytest.mark.parametrize("tier", ["eager", "c"])
def test_weight_drop_works_in_every_tier_of_the_scan(tier):
    torch.manual_seed(0)
    cell = ZoneoutCell(LSTMCell(3, 5), 0.2, 0.2).double()
    model = WeightDrop(rate=0.5).model(nn.Sequential(cell), TOYS["lm"])
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    outcomes = []
    for used in (tier, "eager"):
        scan.use(used)
        model.zero_grad()
        torch.manual_seed(1)
        y, _ = model(x)
        y.square().sum().backward()
        outcomes.append((y.detach(), cell.inner.weight_h.grad.clone()))
        assert [r["tier"] for r in scan.report()] == [used]
    scan.use()
    for a, b in zip(*outcomes, strict=True):
        torch.testing.assert_close(a, b)


def test_weight_drop_is_refused_where_nothing_is_recurrent_and_beside_outer_products():
    with pytest.raises(Refusal, match="has none"):
        built(WeightDrop(), architecture=Transformer(hidden=8, layers=1, heads=2))
    for trick in (WeightDrop(), WeightNoise()):
        with pytest.raises(Refusal, match="choose rtrl or uoro"):
            check(Elman(hidden=4), TOYS["lm"], [trick, KFRTRL()])


def test_weight_drop_stays_in_force_while_omega_takes_the_steps_again():
    """Omega looks at the same steps, whatever the order in which the two are listed."""
    batch, found = TOYS["lm"].example(), []
    for tricks in ((WeightDrop(rate=0.5), Omega()), (Omega(), WeightDrop(rate=0.5))):
        model, _ = built(*tricks)
        torch.manual_seed(5)
        found.append(penalty(model, batch))
    assert found[0] == pytest.approx(found[1])


def test_the_optimiser_moves_the_bare_weights_under_weight_noise():
    model, folded = built(WeightNoise(deviation=0.2))
    optimizer = make_optimizer(Optimizer(name="sgd", lr=0.1), model.parameters(), folded)
    before = [p.detach().clone() for p in model.parameters()]
    training_step(model, folded, TOYS["lm"].example(), None, NOW)
    optimizer.step()
    for old, p in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), old - 0.1 * p.grad)


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


class Halve(Trick):
    """Computes each recurrent matrix from another one, as quantised or normalised ones are.

    Source: made up.
    """

    name = "halve"

    def model(self, model, task):
        for module in list(model.modules()):
            if isinstance(getattr(module, "weight_h", None), nn.Parameter):
                parametrize.register_parametrization(module, "weight_h", Halved())
        return model


@pytest.mark.parametrize("architecture", [Elman(hidden=6), LSTM(hidden=6)], ids=lambda a: a.name)
@pytest.mark.parametrize("first", [True, False])
def test_connections_of_a_matrix_that_is_computed_from_another_are_dropped_too(architecture, first):
    batch, drop = TOYS["lm"].example(), WeightDrop(rate=0.5)
    tricks = (drop, Halve()) if first else (Halve(), drop)
    model, _ = built(*tricks, architecture=architecture)
    plain, _ = built(Halve(), architecture=architecture)
    assert torch.equal(model.eval()(batch).out, plain.eval()(batch).out)
    model.train()
    plain.train()
    torch.manual_seed(3)
    dropped = model(batch).out
    assert not torch.equal(dropped, plain(batch).out)
    # The same pass with the mask written out.
    torch.manual_seed(3)
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module, "weight_h"):
            mask = nn.functional.dropout(torch.ones_like(module.weight_h), 0.5)
            with torch.no_grad():
                module.parametrizations.weight_h.original.mul_(mask)
    assert torch.allclose(dropped, plain(batch).out, atol=1e-6)
    model.loss(model(batch).out, batch).backward()
    matrices = [p for name, p in model.named_parameters() if name.endswith("original")]
    assert matrices
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in matrices)
