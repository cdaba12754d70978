"""Regularisers against their papers' equations, written out as loops."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch.nn import functional as F

from rnnbench.contract import Batch, Moment, Refusal, Result
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.lstm import LSTM
from rnnbench_tricks.activation_regularisation import ActivationRegularisation
from rnnbench_tricks.embedding_dropout import EmbeddingDropout
from rnnbench_tricks.input_noise import InputNoise, words_like
from rnnbench_tricks.label_smoothing import LabelSmoothing
from rnnbench_tricks.recurrent_dropout import RecurrentDropout
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.weight_drop import WeightDrop
from rnnbench_tricks.weight_noise import WeightNoise

NOW = Moment(step=10, progress=0.5)


def built(*tricks, architecture=None, toy="lm", seed=0):
    torch.manual_seed(seed)
    folded = TrickFold(tricks)
    return assemble(architecture or LSTM(hidden=6), TOYS[toy], folded), folded


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


@pytest.mark.parametrize("order", [1, -1])
def test_temporal_regularisation_is_of_the_output_before_dropout_and_the_other_after_it(order):
    """The authors' code: AR of dropped_rnn_hs, TAR of rnn_hs."""
    tricks = [VariationalDropout(input=0.0, hidden=0.0, output=0.4),
              ActivationRegularisation(alpha=2.0, beta=3.0)][::order]  # fmt: skip
    model, _ = built(*tricks)
    batch = TOYS["lm"].example()
    torch.manual_seed(3)
    result = model(batch)
    raw_BTH, _ = model.backbone.layers[0](model.embed(batch.x))
    dropped_BTH = result.hidden
    assert (dropped_BTH == 0).any(), "the mask drops something"
    expected = (
        2 * dropped_BTH.square().mean() + 3 * (raw_BTH[:, 1:] - raw_BTH[:, :-1]).square().mean()
    )
    torch.testing.assert_close(result.penalty, expected)


def test_temporal_regularisation_is_refused_where_a_pass_has_one_step():
    with pytest.raises(Refusal, match="beta=0"):
        check(TinyLSTM(), TOYS["lm"], [ActivationRegularisation(), RTRL()])
    check(TinyLSTM(), TOYS["lm"], [ActivationRegularisation(beta=0.0), RTRL()])


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


def test_a_resting_regulariser_takes_no_part():
    for trick in (
        LabelSmoothing(epsilon=0), InputNoise(strength=0), WeightNoise(deviation=0),
        ActivationRegularisation(alpha=0, beta=0), WeightDrop(rate=0), EmbeddingDropout(rate=0),
        RecurrentDropout(rate=0),
    ):  # fmt: skip
        assert trick.sites() == ()


def test_smoothing_agrees_with_torch():
    torch.manual_seed(0)
    model, _ = built(LabelSmoothing(epsilon=0.1), toy="translate")
    batch = TOYS["translate"].example()
    result: Result = model(batch)
    expected = F.cross_entropy(
        result.out.flatten(0, 1), model.gold(batch).flatten(), label_smoothing=0.1
    )
    torch.testing.assert_close(model.loss(result.out, batch) + result.penalty, expected)
