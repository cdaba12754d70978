"""Tricks on what a model is shown in training: order, length, pieces, and classes put out."""

import statistics
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Batch, Moment, Port, Refusal
from rnnbench.nn import reversed_rows
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step
from rnnbench_architectures.bidirectional import Bidirectional
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.pointer_network import PointerNetwork
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.curriculum import Curriculum
from rnnbench_tricks.mixture_of_softmaxes import MixtureOfSoftmaxes, MixtureReadout
from rnnbench_tricks.professor_forcing import (
    Discriminator,
    ProfessorForcing,
    run_free,
    sampled,
)
from rnnbench_tricks.random_bptt_length import RandomBpttLength
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.scheduled_sampling import ScheduledSampling
from rnnbench_tricks.source_reversal import SourceReversal
from rnnbench_tricks.tied_weights import TiedWeights

NOW = Moment(step=10, progress=0.5)


def built(architecture, toy, *tricks):
    torch.manual_seed(0)
    folded = TrickFold(tricks)
    return assemble(architecture, TOYS[toy], folded), folded


# --------------------------------------------------------------------------------- source reversal


def test_a_reversed_source_is_read_as_a_bare_model_reads_what_was_reversed_before():
    """Training and evaluation, each row by its own length; the memory differs in its order only."""
    batch = TOYS["translate"].example()
    turned = batch._replace(x=reversed_rows(batch.x, batch.x_len))
    plain, _ = built(TinyLSTM(), "translate")
    model, _ = built(TinyLSTM(), "translate", SourceReversal())
    for training in (True, False):
        model.train(training)
        plain.train(training)
        torch.testing.assert_close(model(batch).out, plain(turned).out)
        assert not torch.allclose(model(batch).out, plain(batch).out)


def test_attention_under_source_reversal_is_shown_in_the_order_of_the_source():
    batch = TOYS["translate"].example()
    turned = batch._replace(x=reversed_rows(batch.x, batch.x_len))
    plain, _ = built(TinyLSTM(), "translate")
    model, _ = built(TinyLSTM(), "translate", SourceReversal())
    shown = model.eval().decoded(batch).attention
    there = plain.eval().decoded(turned).attention
    assert shown is not None
    for s in range(shown.shape[1]):
        torch.testing.assert_close(shown[:, s], reversed_rows(there[:, s], batch.x_len))


def test_source_reversal_of_seq2seq_is_its_own_setting():
    batch = TOYS["translate"].example()
    settings = {"hidden": 6, "encoder": "forward", "attention": "general"}
    own, _ = built(Seq2Seq(**settings, reverse_source=True), "translate")
    model, _ = built(Seq2Seq(**settings), "translate", SourceReversal())
    torch.testing.assert_close(model(batch).out, own(batch).out)


@pytest.mark.parametrize(
    ("architecture", "toy", "why"),
    [
        (TinyLSTM(), "lm", "unaligned task"),
        (Seq2Seq(hidden=6, encoder="forward", reverse_source=True), "translate", "reverse_source"),
        (Seq2Seq(hidden=6), "translate", "encoder=forward"),
        (Transformer(hidden=8, layers=1, heads=2), "translate", "source-reversal"),
        (Bidirectional(hidden=4), "translate", "both directions|source-reversal"),
    ],
)
def test_source_reversal_is_refused_where_there_is_no_order_to_turn(architecture, toy, why):
    with pytest.raises(Refusal, match=why):
        check(architecture, TOYS[toy], [SourceReversal()])


# -------------------------------------------------------------------------------------- curriculum


def test_the_greatest_length_grows_in_a_line_and_ends_before_the_budget():
    trick = Curriculum(first=0.2, until=0.5)
    assert [trick.longest(10, p) for p in (0.0, 0.25, 0.5, 1.0)] == [2, 6, 10, 10]
    assert Curriculum(first=0.0).longest(10, 0.0) == 1


def test_long_rows_are_left_out_and_the_shortest_always_stay():
    batch = TOYS["translate"].example()  # lengths 5, 4, 2, 1
    trick = Curriculum(first=0.4, until=1.0)
    kept = trick.batch(batch, Moment(0, 0.0))
    assert kept.x_len.tolist() == [2, 1]
    for name in ("x", "y", "y_len"):
        assert torch.equal(getattr(kept, name), getattr(batch, name)[2:])
    assert trick.batch(batch, Moment(0, 1.0)) is batch
    long = batch._replace(x_len=torch.tensor([5, 5, 5, 5]))
    assert trick.batch(long, Moment(0, 0.0)).x.shape[0] == 4


def test_the_first_steps_of_aligned_rows_are_learnt_from():
    batch = TOYS["tagging"].example()
    cut = Curriculum(by="steps", first=0.4).batch(batch, Moment(0, 0.0))
    assert torch.equal(cut.x, batch.x[:, :2])
    assert torch.equal(cut.y, batch.y[:, :2])
    assert cut.y_len.tolist() == cut.x_len.tolist() == [2, 2, 2, 1]


def test_curriculum_is_refused_where_nothing_can_be_left_out():
    for toy, why, settings in (
        ("lm", "continues", {"by": "steps"}),
        ("regress", "one length", {}),
        ("translate", "by=rows", {"by": "steps"}),
    ):
        with pytest.raises(Refusal, match=why):
            check(TinyLSTM(), TOYS[toy], [Curriculum(**settings)])


# ----------------------------------------------------------------------------- random bptt length


def test_lengths_are_drawn_as_in_awd_lstm():
    torch.manual_seed(0)
    lengths = [RandomBpttLength(length=70, deviation=5.0).drawn() for _ in range(8000)]
    halves = [n for n in lengths if n < 52]
    wholes = [n for n in lengths if n >= 52]
    assert len(halves) / len(lengths) == pytest.approx(0.05, abs=0.01)
    assert statistics.mean(wholes) == pytest.approx(70, abs=0.3)
    assert statistics.stdev(wholes) == pytest.approx(5, rel=0.05)
    assert statistics.mean(halves) == pytest.approx(35, abs=1)
    few = [RandomBpttLength(length=6, deviation=9.0).drawn() for _ in range(50)]
    assert min(few) == 5


def test_pieces_are_learnt_from_one_after_the_other_at_rates_by_their_length(monkeypatch):
    """Pieces of 2, 2 and 1 steps of 5, against plain steps on the pieces with scaled rates."""
    monkeypatch.setattr(RandomBpttLength, "drawn", lambda self: 2)
    trick, batch = RandomBpttLength(length=4, shortest=1), TOYS["lm"].example()
    model, folded = built(TinyLSTM(), "lm", trick)
    optimizer = make_optimizer(Optimizer(name="adam", lr=0.02), model.parameters(), folded)
    step = training_step(model, folded, batch, None, NOW, True, optimizer=optimizer)
    optimizer.step()
    plain, _ = built(TinyLSTM(), "lm")
    adam = torch.optim.Adam(plain.parameters(), lr=0.02)
    state, losses = None, []
    for begin, end in ((0, 2), (2, 4), (4, 5)):
        part = Batch(batch.x[:, begin:end], batch.y[:, begin:end])
        result = plain(part, state)
        loss = plain.loss(result.out, part)
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = 0.02 * (end - begin) / 4
        adam.step()
        losses.append(loss.item() * (end - begin) / 5)
        state = plain.carry(result.state)
    assert float(step.loss) == pytest.approx(sum(losses), rel=1e-5)
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert optimizer.param_groups[0]["lr"] == 0.02, "the rate is put back"


def test_random_lengths_are_refused_where_a_batch_is_no_longer_than_a_piece():
    with pytest.raises(Refusal, match="below 5"):
        check(TinyLSTM(), TOYS["lm"], [RandomBpttLength()])
    with pytest.raises(Refusal, match="target at every step"):
        check(TinyLSTM(), TOYS["classify"], [RandomBpttLength(length=2)])


# ------------------------------------------------------------------------------------------ mixture


def test_a_mixture_of_softmaxes_equals_the_sum_over_its_components():
    torch.manual_seed(0)
    plain = nn.Linear(3, 5).double()
    mixture = MixtureReadout(plain, 4).double()
    h = torch.randn(2, 3, dtype=torch.float64)
    nats = mixture(h)
    for b in range(2):
        priors = (mixture.prior.weight @ h[b]).exp()
        priors = priors / priors.sum()
        p = torch.zeros(5, dtype=torch.float64)
        for k in range(4):
            rows = slice(3 * k, 3 * k + 3)
            h_k = torch.tanh(mixture.latent.weight[rows] @ h[b] + mixture.latent.bias[rows])
            scores = (plain.weight @ h_k + plain.bias).exp()
            p = p + priors[k] * scores / scores.sum()
        torch.testing.assert_close(nats[b], p.log())
    torch.testing.assert_close(nats.exp().sum(-1), torch.ones(2, dtype=torch.float64))


def test_a_mixture_may_have_a_higher_rank_than_the_hidden_width():
    torch.manual_seed(0)
    h = torch.randn(60, 3, dtype=torch.float64)
    plain = nn.Linear(3, 20).double()
    with torch.no_grad():
        plain.weight.mul_(4)
        one = torch.log_softmax(plain(h), -1)
        mixture = MixtureReadout(plain, 5).double()
        mixture.latent.weight.mul_(4)
        several = mixture(h)
    assert torch.linalg.matrix_rank(one) <= 5
    assert torch.linalg.matrix_rank(several) > 10


def test_a_mixture_shares_its_table_with_the_embedding_in_either_order():
    for tricks in (
        (TiedWeights(), MixtureOfSoftmaxes(experts=2)),
        (MixtureOfSoftmaxes(experts=2), TiedWeights()),
    ):
        model, _ = built(LSTM(hidden=6), "lm", *tricks)
        assert model.embed.map.weight is model.readout.weight


def test_a_mixture_is_refused_where_no_classes_are_read_out():
    with pytest.raises(Refusal, match="real values"):
        check(TinyLSTM(), TOYS["regress"], [MixtureOfSoftmaxes()])
    with pytest.raises(Refusal, match="no linear readout"):
        check(PointerNetwork(hidden=4), MORE_TOYS["pointing"], [MixtureOfSoftmaxes()])


# -------------------------------------------------------------------------------- professor forcing


@dataclass(frozen=True)
class Prose(Toy):
    """A task whose model goes on by reading its own output."""

    continues: ClassVar[bool] = True

    ports: tuple[Port, Port] = (Port(classes=7), Port(classes=7))
    carried: bool = True


def behaviours(lengths=None):
    torch.manual_seed(0)
    judge = Discriminator(3, 4).double()
    truth, free = (torch.randn(6, 4, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    return judge, truth, free, lengths


def test_the_discriminators_loss_reaches_the_discriminator_alone():
    """-log D(b_truth) - log(1 - D(b_free)), with the model's part switched off."""
    judge, truth, free, _ = behaviours()
    ProfessorForcing(skilled=1.0, useful=1.0).losses(judge, truth, free, None).backward()
    assert truth.grad is None or not truth.grad.any()
    assert free.grad is None or not free.grad.any()
    found = [p.grad.clone() for p in judge.parameters()]
    judge.zero_grad()
    d_truth, d_free = (torch.sigmoid(judge(b.detach(), None)) for b in (truth, free))
    (-d_truth.log().mean() - (1 - d_free).log().mean()).backward()
    for g, p in zip(found, judge.parameters(), strict=True):
        torch.testing.assert_close(g, p.grad)


@pytest.mark.parametrize("both", [False, True])
def test_the_models_loss_reaches_the_model_alone(both):
    """weight · (-log D(b_free) - log(1 - D(b_truth))), with the discriminator's part off."""
    judge, truth, free, lengths = behaviours(torch.tensor([4, 1, 2, 3, 4, 4]))
    trick = ProfessorForcing(weight=0.5, both=both, skilled=0.0, useful=0.0)
    trick.losses(judge, truth, free, lengths).backward()
    assert not any(p.grad.any() for p in judge.parameters())
    found = free.grad.clone(), truth.grad.clone() if both else None
    free.grad = truth.grad = None
    loss = -0.5 * torch.sigmoid(judge(free, lengths)).log().mean()
    if both:
        loss = loss - 0.5 * (1 - torch.sigmoid(judge(truth, lengths))).log().mean()
    loss.backward()
    torch.testing.assert_close(found[0], free.grad)
    assert not found[0][1, 1:].any(), "padding is no behaviour"
    if both:
        torch.testing.assert_close(found[1], truth.grad)


def test_the_discriminator_rests_where_it_is_skilled_and_is_not_heeded_where_it_is_not():
    judge, truth, free, _ = behaviours()
    with torch.no_grad():  # always right: it reads one number of the last step
        for p in judge.parameters():
            p.zero_()
        judge.judge[2].bias.fill_(1.0)
    # "truth" for all: right in half of the cases.
    learning = ProfessorForcing(skilled=0.5, useful=0.5).losses(judge, truth, free, None)
    assert float(learning.detach()) == 0.0, "skilled enough at 0.5, and not more than 0.5 useful"
    heeded = ProfessorForcing(skilled=0.5, useful=0.4).losses(judge, truth, free, None)
    assert heeded.item() == pytest.approx(-torch.sigmoid(torch.tensor(1.0)).log().item())


@pytest.mark.parametrize("toy", ["translate", "caption", "forecast", "prose"])
def test_a_free_pass_reads_what_it_said(toy):
    """Its outputs are those of teacher forcing on the sequence that it has read."""
    task = Prose() if toy == "prose" else TOYS[toy]
    torch.manual_seed(0)
    model = assemble(TinyLSTM(), task, TrickFold())
    batch, read = task.example(), []

    def keep(model, out):
        read.append(sampled(model, out))
        return read[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnbench_tricks.professor_forcing.sampled", keep)
        free = run_free(model, batch, None)
    if toy == "prose":
        x = torch.cat([batch.x[:, :1], *read[:-1]], 1)
        expected = model(Batch(x, x))
    else:
        expected = model(batch._replace(y=torch.cat(read, 1)))
    torch.testing.assert_close(free.out, expected.out)
    torch.testing.assert_close(free.hidden, expected.hidden)


def test_professor_forcing_trains_the_discriminator_and_leaves_evaluation_alone():
    torch.manual_seed(0)
    folded = TrickFold([ProfessorForcing(hidden=4)])
    model = assemble(TinyLSTM(), Prose(), folded)
    batch = Prose().example()
    training_step(model, folded, batch, None, NOW, True)
    assert all(p.grad is not None for p in model.parameters())
    assert any(p.grad.any() for p in model.discriminator.parameters())
    assert model.eval()(batch).penalty is None


def test_professor_forcing_is_refused_where_a_model_never_reads_itself():
    for toy, tricks, why in (
        ("classify", [ProfessorForcing()], "never read"),
        ("lm", [ProfessorForcing()], "never read"),
        ("translate", [ProfessorForcing(), ScheduledSampling()], "scheduled-sampling"),
    ):
        with pytest.raises(Refusal, match=why):
            check(TinyLSTM(), TOYS[toy], tricks)
    with pytest.raises(Refusal, match="one step"):
        check(TinyLSTM(), Prose(), [ProfessorForcing(), RTRL()])
