"""The training step: sites in order, and bit for bit what a plain PyTorch loop does."""

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Moment, Trick, decays, undecayed
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.loader import Loader
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step
from rnnbench_architectures.lstm import LSTM
from rnnbench_tasks.char_lm import CharLM


def test_twenty_steps_equal_a_plain_loop_bit_for_bit():
    """An LSTM on char-lm, with carried state, against nn.Embedding, nn.LSTM, nn.Linear and Adam."""
    task, hidden, rows = CharLM(length=35), 32, 8
    classes = task.source.classes
    torch.manual_seed(0)
    model = assemble(LSTM(hidden=hidden), task, TrickFold())
    torch.manual_seed(0)
    embed, lstm, readout = (
        nn.Embedding(classes, hidden),
        nn.LSTM(hidden, hidden, batch_first=True),
        nn.Linear(hidden, classes),
    )
    theirs = torch.optim.Adam(
        [*embed.parameters(), *lstm.parameters(), *readout.parameters()], lr=3e-3
    )
    ours = make_optimizer(Optimizer(lr=3e-3), model.parameters(), TrickFold())
    loader = Loader(task.data("train", 0), rows, 0, pack=20, round_steps=20, steps=20)
    (pack,) = list(loader)
    losses, state, carried, plain = [], None, None, []
    for i, batch in enumerate(pack.batches):
        ours.zero_grad(set_to_none=True)
        step = training_step(model, TrickFold(), batch, state, Moment(i, i / 20), carried=True)
        ours.step()
        state = step.state
        losses.append(step.loss.item())

        theirs.zero_grad(set_to_none=True)
        out, carried = lstm(embed(batch.x), carried)
        carried = tuple(c.detach() for c in carried)
        logits = readout(out)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.y.flatten())
        loss.backward()
        theirs.step()
        plain.append(loss.item())
    assert losses == plain
    assert losses[-1] < losses[0] - 0.3


class Recorder(Trick):
    """Notes the order in which sites are reached."""

    seen: list = []

    def cell(self, cell):
        self.seen.append("cell")
        return cell

    def model(self, model, task):
        self.seen.append("model")
        return model

    def batch(self, batch, at):
        self.seen.append("batch")
        return batch

    def feed(self, gold, guess, at):
        self.seen.append("feed")
        return gold

    def loss(self, loss, result, at):
        self.seen.append("loss")
        return loss * 2

    def gradient(self, parameters, at):
        self.seen.append("gradient")
        assert all(p.grad is not None for p in parameters)
        return parameters

    def estimator(self, inner):
        self.seen.append("estimator")
        return inner

    def optimizer(self, optimizer):
        self.seen.append("optimizer")
        return optimizer


def test_sites_are_reached_in_the_order_of_a_step():
    Recorder.seen.clear()
    tricks = TrickFold([Recorder()])
    model = assemble(TinyLSTM(), TOYS["translate"], tricks)
    make_optimizer(Optimizer(), model.parameters(), tricks)
    training_step(model, tricks, TOYS["translate"].example(), None, Moment(0, 0.0))
    once = list(dict.fromkeys(Recorder.seen))
    assert once == ["cell", "model", "optimizer", "batch", "estimator", "feed", "loss", "gradient"]
    assert tricks.unreached() == []


def test_tricks_fold_in_the_order_listed():
    class Add(Trick):
        def loss(self, loss, result, at):
            return loss + 1

    class Double(Trick):
        def loss(self, loss, result, at):
            return loss * 2

    for tricks, expected in (((Add(), Double()), 8.0), ((Double(), Add()), 7.0)):
        assert TrickFold(tricks).fold("loss", torch.tensor(3.0), None, None) == expected


def test_the_reported_loss_is_the_bare_one_and_the_gradient_the_changed_one():
    task = TOYS["lm"]
    outcomes = []
    for tricks in (TrickFold(), TrickFold([Recorder()])):
        torch.manual_seed(0)
        model = assemble(TinyLSTM(), task, tricks)
        step = training_step(model, tricks, task.example(), None, Moment(0, 0.0))
        outcomes.append((step.loss, model.readout.weight.grad.clone()))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    torch.testing.assert_close(outcomes[1][1], 2 * outcomes[0][1])


def test_state_is_carried_only_where_the_data_are():
    task = TOYS["lm"]
    model = assemble(TinyLSTM(), task, TrickFold())
    at = Moment(0, 0.0)
    assert training_step(model, TrickFold(), task.example(), None, at).state is None
    step = training_step(model, TrickFold(), task.example(), None, at, carried=True)
    leaves = [t for layer in step.state for t in layer]
    assert not any(t.requires_grad for t in leaves)
    assert all(t.shape == (4, 6) for t in leaves)


@pytest.mark.parametrize("name", ["adam", "AdamW", "sgd", "rmsprop", "radam"])
def test_any_optimiser_of_torch_by_name(name):
    model = nn.Linear(2, 2)
    optimizer = make_optimizer(Optimizer(name=name, lr=0.5), model.parameters(), TrickFold())
    assert type(optimizer).__name__.lower() == name.lower()
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "asgd", "rmsprop", "adamax"])
def test_a_parameter_that_is_marked_never_decays_whatever_the_optimiser(name):
    marked, other = undecayed(nn.Parameter(torch.ones(3))), nn.Parameter(torch.ones(3))
    assert (decays(marked), decays(other)) == (False, True)
    settings = Optimizer(name=name, lr=0.1, weight_decay=0.1)
    optimizer = make_optimizer(settings, [marked, other], TrickFold())
    for _ in range(3):
        marked.grad, other.grad = torch.zeros(3), torch.zeros(3)
        optimizer.step()
    assert torch.equal(marked, torch.ones(3))
    assert (other < 1).all()


def test_without_weight_decay_an_optimiser_has_one_group_as_ever():
    parameters = [undecayed(nn.Parameter(torch.ones(3))), nn.Parameter(torch.ones(3))]
    groups = make_optimizer(Optimizer(), parameters, TrickFold()).param_groups
    assert [group["params"] for group in groups] == [parameters]
    alone = make_optimizer(Optimizer(weight_decay=0.1), parameters[:1], TrickFold())
    assert [group["weight_decay"] for group in alone.param_groups] == [0.0]
