"""Regularisers against their papers' equations, written out as loops."""

import copy
import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Batch, Moment, Refusal, Result
from rnnbench.nn import scan
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.activation_regularisation import ActivationRegularisation
from rnnbench_tricks.embedding_dropout import EmbeddingDropout
from rnnbench_tricks.input_noise import InputNoise, words_like
from rnnbench_tricks.kf_rtrl import KFRTRL
from rnnbench_tricks.label_smoothing import LabelSmoothing
from rnnbench_tricks.omega import Omega
from rnnbench_tricks.recurrent_dropout import RecurrentDropout
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.variational_dropout import VariationalDropout
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


# ------------------------------------------------------------------------------ label smoothing


@pytest.mark.parametrize("toy", ["lm", "tagging", "classify", "translate"])
def test_smoothed_labels_are_a_cross_entropy_with_a_spread_out_target(toy):
    """-Σ_k q′(k) log p(k), q′(k) = (1 - ε) [k = y] + ε / K, the mean over targets but padding."""
    epsilon, batch = 0.2, TOYS[toy].example()
    model, _ = built(LabelSmoothing(epsilon=epsilon), toy=toy)
    result = model(batch)
    out, y = result.out.detach().double(), batch.y
    if y.dim() == 1:
        out, y = out[:, None], y[:, None]
    total = count = 0.0
    for b in range(len(y)):
        length = y.shape[1]
        if batch.y.dim() > 1 and batch.y_len is not None:
            length = int(batch.y_len[b])
        for t in range(length):
            p = out[b, t].exp() / out[b, t].exp().sum()
            for k in range(len(p)):
                q = (1 - epsilon) * (k == int(y[b, t])) + epsilon / len(p)
                total -= q * math.log(p[k])
            count += 1
    found = model.loss(result.out, batch) + result.penalty
    assert found.item() == pytest.approx(total / count, rel=1e-5)


def test_labels_are_not_smoothed_at_evaluation_and_never_in_the_reported_loss():
    batch = TOYS["lm"].example()
    model, folded = built(LabelSmoothing(epsilon=0.3))
    plain, _ = built()
    step = training_step(model, folded, batch, None, NOW)
    assert float(step.loss) == pytest.approx(plain.loss(plain(batch).out, batch).item())
    assert model.eval()(batch).penalty is None


def test_label_smoothing_is_refused_where_values_are_predicted():
    with pytest.raises(Refusal, match="real values"):
        built(LabelSmoothing(), toy="regress")


# ---------------------------------------------------------------------------------- input noise


def test_noise_on_values_has_the_given_deviation_and_leaves_padding_alone():
    torch.manual_seed(0)
    x = torch.zeros(200, 50, 4)
    lengths = torch.full((200,), 30)
    noisy = InputNoise(strength=0.5).batch(Batch(x, x, lengths), NOW).x
    assert float(noisy[:, :30].std()) == pytest.approx(0.5, rel=0.02)
    assert float(noisy[:, :30].mean()) == pytest.approx(0.0, abs=0.01)
    assert not noisy[:, 30:].any()
    assert not x.any(), "the given batch stays as it is"


def test_words_are_replaced_at_the_given_rate_by_words_as_often_as_they_occur():
    """A word that makes up 3/4 of the batch is 3/4 of the replacements."""
    torch.manual_seed(0)
    x = torch.tensor([1, 1, 1, 2]).repeat(400, 25)
    noisy = InputNoise(on="words", strength=0.2).batch(Batch(x, x), NOW)
    twos = x == 2
    # A 2 is chosen with probability 0.2 and becomes a 1 three times of four.
    assert float((noisy.x[twos] == 1).float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float((noisy.x[~twos] == 2).float().mean()) == pytest.approx(0.05, abs=0.01)
    assert torch.equal(noisy.y, x)


def test_words_come_from_places_that_are_no_padding_every_one_as_likely():
    torch.manual_seed(0)
    x = torch.tensor([[3, 0, 0, 0], [4, 5, 6, 0]]).repeat(500, 1)
    lengths = torch.tensor([1, 3]).repeat(500)
    drawn = words_like(Batch(x, x, lengths))
    counts = torch.bincount(drawn.flatten(), minlength=7) / drawn.numel()
    assert counts.tolist() == pytest.approx([0, 0, 0, 0.25, 0.25, 0.25, 0.25], abs=0.03)


def test_input_noise_in_the_wrong_mode_is_refused_with_the_right_one():
    with pytest.raises(Refusal, match="input-noise:on=words"):
        built(InputNoise())
    with pytest.raises(Refusal, match="input-noise:on=values"):
        built(InputNoise(on="words"), toy="classify")
    with pytest.raises(Refusal, match="share of words"):
        InputNoise(on="words", strength=1.5)


# ------------------------------------------------------------------- activation regularisation


def test_activation_regularisation_equals_loops_over_units_and_steps():
    batch = TOYS["tagging"].example()
    model, _ = built(ActivationRegularisation(alpha=2.0, beta=3.0), toy="tagging")
    result = model(batch)
    h, lengths = result.hidden.tolist(), batch.y_len.tolist()
    squares = [v**2 for b, n in enumerate(lengths) for t in range(n) for v in h[b][t]]
    changes = [
        (v - w) ** 2
        for b, n in enumerate(lengths)
        for t in range(n - 1)
        for v, w in zip(h[b][t], h[b][t + 1], strict=True)
    ]
    expected = 2 * sum(squares) / len(squares) + 3 * sum(changes) / len(changes)
    assert result.penalty.item() == pytest.approx(expected, rel=1e-5)


def test_temporal_regularisation_is_refused_where_a_pass_has_one_step():
    with pytest.raises(Refusal, match="beta=0"):
        check(TinyLSTM(), TOYS["lm"], [ActivationRegularisation(), RTRL()])
    check(TinyLSTM(), TOYS["lm"], [ActivationRegularisation(beta=0.0), RTRL()])


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


# ------------------------------------------------------------------------------ embedding dropout


def test_embedding_dropout_drops_every_occurrence_of_a_word_and_scales_the_others():
    torch.manual_seed(0)
    model, _ = built(EmbeddingDropout(rate=0.5))
    words = torch.arange(7).repeat(3, 2)
    plain, out = model.embed.map(words), model.embed(words)
    for word in range(7):
        rows = out[words == word]
        assert (rows == 0).all() or torch.allclose(rows, 2 * plain[words == word])
    assert torch.equal(model.eval().embed(words), plain)


def test_words_are_dropped_by_one_trick_only():
    both = (EmbeddingDropout(), VariationalDropout(embedding=0.2))
    for tricks in (both, both[::-1]):
        with pytest.raises(Refusal, match="already"):
            built(*tricks)
    with pytest.raises(Refusal, match="real-valued"):
        built(EmbeddingDropout(), toy="classify")


# ------------------------------------------------------------------------------ recurrent dropout


def by_hand(cell, x, masks):
    """Semeniuta's cells, unit by unit; masks[t][unit] multiplies the candidate."""

    def s(v):
        return 1 / (1 + math.exp(-v))

    size = cell.hidden
    wx, wh = cell.weight_x.tolist(), cell.weight_h.tolist()
    bx, bh = cell.bias_x.tolist(), cell.bias_h.tolist()
    h, c, outputs = [0.0] * size, [0.0] * size, []
    for t, x_t in enumerate(x.tolist()):
        p = [sum(w * v for w, v in zip(r, x_t, strict=True)) + b
             for r, b in zip(wx, bx, strict=True)]  # fmt: skip
        q = [sum(w * v for w, v in zip(r, h, strict=True)) + b for r, b in zip(wh, bh, strict=True)]
        new = []
        for u in range(size):
            at = [u + k * size for k in range(len(p) // size)]
            if isinstance(cell, LSTMCell):
                i, f, g, o = (p[k] + q[k] for k in at)
                c[u] = s(f) * c[u] + s(i) * masks[t][u] * math.tanh(g)
                new.append(s(o) * math.tanh(c[u]))
            else:
                r, z = (s(p[k] + q[k]) for k in at[:2])
                n = masks[t][u] * math.tanh(p[at[2]] + r * q[at[2]])
                new.append((1 - z) * n + z * h[u])
        h = new
        outputs.append(h)
    return torch.tensor(outputs, dtype=torch.float64)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_recurrent_dropout_equals_the_papers_cells_unit_by_unit(kind):
    torch.manual_seed(0)
    cell = RecurrentDropout(rate=0.3).cell(kind(2, 3).double())
    x = torch.randn(1, 6, 2, dtype=torch.float64)
    torch.manual_seed(4)
    y, _ = cell(x)
    torch.manual_seed(4)
    (kept,) = cell.noise(6, (torch.zeros(1, 3, dtype=torch.float64),))
    assert 0 < int(kept.sum()) < kept.numel()
    torch.testing.assert_close(y[0], by_hand(cell.inner, x[0], kept[:, 0].double().tolist()))
    y, _ = cell.eval()(x)
    torch.testing.assert_close(y[0], by_hand(cell.inner, x[0], [[0.7] * 3] * 6))


@pytest.mark.parametrize(
    "settings", [{"peepholes": True}, {"coupled": True}, {"forget_gate": False}, {"projection": 2}]
)
def test_recurrent_dropout_holds_for_every_variant_of_the_lstm(settings):
    """Dropping all of what is written leaves c = f c, so that from 0 nothing is ever remembered."""
    torch.manual_seed(0)
    bare = LSTMCell(2, 3, **settings).double()
    cell = RecurrentDropout(rate=0.5).cell(bare)
    x = torch.randn(4, 5, 2, dtype=torch.float64)
    state = cell.initial(x[:, 0])
    nothing = (torch.zeros(4, 3, dtype=torch.bool),)
    for p in cell.project(x, state).unbind(1):
        y, state = cell.tick(p, state, (nothing, ()))
        assert not y.any()
        assert not state[1].any()
    full = (torch.ones(4, 3, dtype=torch.bool),)
    p, state = cell.project(x, state)[:, 0], tuple(torch.randn_like(s) for s in state)
    for a, b in zip(cell.tick(p, state, (full, ()))[1], bare.advance(p, state)[1], strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_recurrent_dropout_runs_in_the_fast_tier(kind):
    torch.manual_seed(0)
    cell = RecurrentDropout(rate=0.3).cell(kind(2, 4))
    for training in (True, False):
        cell.train(training)
        scan.use("c")
        cell(torch.randn(2, 5, 2))
        assert [r["tier"] for r in scan.report()] == ["c"]
    scan.use()


def test_recurrent_dropout_is_refused_where_a_cell_writes_no_candidate():
    with pytest.raises(Refusal, match="has none by that name"):
        built(RecurrentDropout(), architecture=Elman(hidden=4))
    with pytest.raises(Refusal, match="another step"):
        built(RecurrentDropout(), architecture=GRU(hidden=4, reset="before"))


def test_a_resting_regulariser_takes_no_part():
    for trick in (
        LabelSmoothing(epsilon=0), InputNoise(strength=0), WeightNoise(deviation=0),
        ActivationRegularisation(alpha=0, beta=0), WeightDrop(rate=0), EmbeddingDropout(rate=0),
        RecurrentDropout(rate=0),
    ):  # fmt: skip
        assert trick.sites() == ()


def test_the_optimiser_moves_the_bare_weights_under_weight_noise():
    model, folded = built(WeightNoise(deviation=0.2))
    optimizer = make_optimizer(Optimizer(name="sgd", lr=0.1), model.parameters(), folded)
    before = [p.detach().clone() for p in model.parameters()]
    training_step(model, folded, TOYS["lm"].example(), None, NOW)
    optimizer.step()
    for old, p in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), old - 0.1 * p.grad)


def test_smoothing_agrees_with_torch():
    torch.manual_seed(0)
    model, _ = built(LabelSmoothing(epsilon=0.1), toy="translate")
    batch = TOYS["translate"].example()
    result: Result = model(batch)
    expected = F.cross_entropy(
        result.out.flatten(0, 1), model.gold(batch).flatten(), label_smoothing=0.1
    )
    torch.testing.assert_close(model.loss(result.out, batch) + result.penalty, expected)
