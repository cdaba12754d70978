"""The laws of whole models: an architecture as core wires it, or as it wires itself."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Batch, Kind, Moment, Refusal
from rnnbench.nn import Decoder, Model
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.fixtures.backbones import (
    EXACT,
    doubled,
    either_backbone,
    leaves,
    models_of,
    rows_of,
)
from rnnbench.testing.fixtures.toy_tasks import TOYS, Toy
from rnnbench.testing.law import Broken, DoesNotApply, Laws, differ
from rnnbench.training.checks.leaks import find_leak
from rnnbench.training.determinism import seed_torch
from rnnbench.training.train_step import (
    TrickFold,
    assemble,
    constrain,
    make_optimizer,
    training_step,
)

LAWS = Laws()
SUM = 1e-4  # by which probabilities may miss 1: some are clamped away from 0
LONG = 300  # steps, more than the blocks that a scan may be cut into


@torch.no_grad()
def predicted(model: Model, batch: Batch) -> list[Tensor]:
    """Return the outputs for a batch, and what is decoded where the model decodes."""
    return [model(batch).out, *([model.decode(batch)] if model.decodes else [])]


@LAWS.law(
    "Every parameter gets a gradient, and one that is not 0, within three training steps.",
    "A parameter without gradient never learns: use it in forward, or do not make it one.",
)
def gradients_reach_every_parameter(plugin: Architecture) -> None:
    moved: set[str] = set()
    still: dict[str, str] = {}
    for name, _, model, batch in models_of(plugin):
        optimizer = make_optimizer(Optimizer(lr=1e-2), model.train().parameters(), TrickFold())
        reached: set[str] = set()
        for i in range(3):  # a gate that starts closed opens after a step
            optimizer.zero_grad()
            training_step(model, TrickFold(), batch, None, Moment(i, i / 3))
            for which, p in model.named_parameters():
                if p.grad is None:
                    continue
                if not p.grad.isfinite().all():
                    raise Broken(f"on {name}: {which} has a gradient that is not finite")
                reached.add(which)
                if not p.numel():  # of a model that is counted, and learns nothing
                    continue
                if p.grad.any() or "bias" in which:
                    moved.add(which)
                else:
                    still.setdefault(which, name)
            optimizer.step()
            constrain(model)
        for which, p in model.named_parameters():
            if p.requires_grad and p.numel() and which not in reached:
                raise Broken(f"on {name}: {which} has no gradient")
    # Some wirings do not ask for all: the last output of a reversed scan has seen one step.
    for which, name in still.items():
        if which not in moved:
            raise Broken(f"on {name}: {which} has gradient 0, on other tasks too")


@LAWS.law(
    "Decoding step by step says what teacher forcing says, and never looks at the target.",
    "A decoder must be causal, and `extend` must return all that its next step needs.",
)
def decoding_equals_teacher_forcing(plugin: Architecture) -> None:
    decoders = [built for built in models_of(plugin) if isinstance(built[2], Decoder)]
    if not decoders:
        raise DoesNotApply("it is refused wherever something is decoded")
    for name, _, model, batch in decoders:
        fault = stepping_fault(model, batch)
        if fault:
            raise Broken(f"on {name}: {fault}")
        other = batch._replace(y=batch.y.flip(0).flip(1))
        if differ(model.decode(batch), model.decode(other)):
            raise Broken(f"on {name}: another target changes what is decoded without it")


@torch.no_grad()
def stepping_fault(model: Model, batch: Batch) -> str | None:
    """Return how stepping with the truth differs from teacher forcing, or None."""
    assert isinstance(model, Decoder)
    gold, state, outs = model.shifted(batch), model.begin(batch), []
    for t in range(gold.shape[1]):
        out, _, state = model.extend(gold[:, t : t + 1], state)
        outs.append(out)
    gap = differ(torch.cat(outs, 1), model(batch).out, EXACT)
    return gap and f"steps and teacher forcing differ {gap}"


@LAWS.law(
    "In a whole model too, a row's result depends neither on other rows nor on padding.",
    "Mask by batch.x_len and batch.y_len wherever the model pools, attends or normalises.",
)
def model_rows_are_independent(plugin: Architecture) -> None:
    for name, toy, model, batch in models_of(plugin):
        fault = row_fault(model, toy, batch)
        if fault:
            raise Broken(f"on {name}: {fault}")


@torch.no_grad()
def row_fault(model: Model, toy: Toy, batch: Batch) -> str | None:
    """Return what of a row's result depends on other rows or on padding, or None."""
    together = predicted(model, batch)[0]
    for row in range(len(batch.x)):
        alone = predicted(model, rows_of(batch, slice(row, row + 1)))[0]
        gap = differ(together[row : row + 1], alone, EXACT)
        if gap:
            return f"row {row} differs {gap} when it is alone"
    if batch.x_len is None:
        return None
    x = batch.x.clone()
    for row, length in enumerate(batch.x_len.tolist()):
        x[row, length:] = 5 if toy.source.classes else 99.0
    changed = batch._replace(x=x)
    before, after = (model.nll(model(b).out, b) for b in (batch, changed))
    gap = differ(before, after, EXACT)
    return gap and f"other padding of the source changes the loss {gap}"


@LAWS.law(
    "A whole model sees nothing that it may not: what comes later, its target, other rows.",
    "Read left to right where the task is causal; never read batch.y of the step at hand.",
)
def models_see_what_they_may(plugin: Architecture) -> None:
    for name, toy, model, batch in models_of(plugin):
        leak = find_leak(model, toy, batch, least=LONG)
        if leak:
            raise Broken(f"on {name}: it {leak}")


@LAWS.law(
    "The loss is the mean of nll over what is counted, and padding of the target is not.",
    "A model of your own must override loss and nll together, with `gold` as their target.",
)
def loss_is_the_mean_of_nll(plugin: Architecture) -> None:
    for name, toy, model, batch in models_of(plugin):
        with torch.no_grad():
            out = model(batch).out
            nll, mask = model.nll(out, batch)
            loss = model.loss(out, batch)
        gap = abs(float(loss) - float(nll.sum() / mask.sum()))
        if not gap <= 1e-9:
            raise Broken(f"on {name}: loss and mean nll differ by {gap:.3g}")
        counted = batch.y_len.sum() if batch.y_len is not None else batch.y.shape[:2].numel()
        if toy.kind is not Kind.SEQ_TO_VEC and int(mask.sum()) != int(counted):
            raise Broken(f"on {name}: {int(mask.sum())} targets counted, there are {int(counted)}")


@LAWS.law(
    "Where a target is a class, the probabilities exp(-nll) of all classes sum to 1.",
    "Normalise what nll takes the logarithm of, over every class; mix before you normalise.",
)
@torch.no_grad()
def probabilities_sum_to_one(plugin: Architecture) -> None:
    tried = False
    for name, toy, model, batch in models_of(plugin):
        if not toy.target.classes:
            continue
        tried = True
        out = model(batch).out
        total = torch.zeros((), dtype=torch.float64)
        for c in range(_classes_of(toy, batch)):
            nll, mask = model.nll(out, batch._replace(y=torch.full_like(batch.y, c)))
            total = total + torch.where(mask, nll.neg().exp(), 1.0 if c == 0 else 0.0)
        gap = float((total - 1).abs().max())
        if not gap <= SUM:
            worst = float(total.flatten()[(total - 1).abs().argmax()])
            raise Broken(f"on {name}: the probabilities of all classes sum to {worst:.6g}")
    if not tried:
        raise DoesNotApply("it is refused by every task whose target is a class")


def _classes_of(toy: Toy, batch: Batch) -> int:
    """Return how many classes a target can be: of positions, those of the source and 0."""
    if toy.target.layout == "positions":
        return batch.x.shape[1] + 1
    return toy.target.classes


@LAWS.law(
    "Random numbers of training go on: two seeds leave two states of torch's generator.",
    "Draw from torch's global generator, and never set a seed: the run has set it.",
)
def seeds_are_left_alone(plugin: Architecture) -> None:
    for name, _, model, batch in models_of(plugin):
        after = []
        for seed in (5, 6):
            seed_torch(seed)
            with torch.no_grad():
                copy.deepcopy(model).train()(batch)
            after.append(torch.get_rng_state())
        if torch.equal(*after):
            raise Broken(f"on {name}: a pass in training mode sets torch's seed")


@LAWS.law(
    "Training on a stream carries the state, cut off from the graph, and evaluation reads on.",
    "Override `carry` where the state is not a nested tuple that `detach` knows.",
)
def streams_are_read_on(plugin: Architecture) -> None:
    toy, tricks = TOYS["lm"], TrickFold()
    seed_torch(0)
    try:
        model = assemble(plugin, toy, tricks).double()
        state = None
        for i in range(3):
            batch = doubled(toy.example(i))
            state = training_step(model, tricks, batch, state, Moment(i, 0.0), carried=True).state
    except Refusal as why:
        raise DoesNotApply(str(why)) from why
    if any(leaf.requires_grad for leaf in leaves(state)):
        raise Broken("the state of a stream still has a gradient")
    fault = stream_fault(model.eval(), toy)
    if fault:
        raise Broken(fault)


@torch.no_grad()
def stream_fault(model: Model, toy: Toy) -> str | None:
    """Return how two batches of a stream differ from one pass over both, or None."""
    one, two = toy.example(0), toy.example(1)
    first = model(one)
    second = model(two, model.carry(first.state)).out
    whole = model(Batch(torch.cat([one.x, two.x], 1), torch.cat([one.y, two.y], 1))).out
    gap = differ(torch.cat([first.out, second], 1), whole, EXACT)
    return gap and f"two batches of a stream differ {gap} from one pass over both"


def broken_promise(model: Model, toy: Toy) -> str | None:
    """Return which promise a model (float64, evaluation mode) breaks on a toy, or None."""
    batch = doubled(toy.example())
    return (
        row_fault(model, toy, batch)
        or find_leak(model, toy, batch)
        or (stepping_fault(model, batch) if isinstance(model, Decoder) else None)
        or (stream_fault(model, toy) if toy.carried else None)
    )


@LAWS.law(
    "It learns: one batch is overfitted within 300 steps of Adam.",
    "Gradients flow but do not help: look for a detach, a saturated start, a dead output.",
)
def overfits_one_batch(plugin: Architecture) -> None:
    optimizer = Optimizer(lr=1e-2)
    for name in ("overfit", "classify", "grid", "tree", "translate"):
        chosen = [built for built in models_of(plugin) if built[0].startswith(name)]
        if chosen:
            break
    else:
        raise DoesNotApply("it is refused by every task that is easily overfitted")
    toy = chosen[0][1]
    seed_torch(0)
    model, batch = assemble(plugin, toy, TrickFold()), toy.example()
    step = make_optimizer(optimizer, model.parameters(), TrickFold())

    @torch.no_grad()
    def loss() -> float:  # without the noise of training
        model.eval()
        value = model.loss(model(batch).out, batch).item()
        model.train()
        return value

    share = 0.3 if _learns_itself(plugin) else 0.9
    first = last = loss()
    for i in range(300):
        step.zero_grad()
        training_step(model, TrickFold(), batch, None, Moment(i, i / 300))
        step.step()
        if i % 20 == 19:
            last = loss()
            if last < share * first:
                return
    raise Broken(
        f"the loss went from {first:.3f} to {last:.3f} nats; expected less than {share:.0%}"
    )


def _learns_itself(plugin: Architecture) -> bool:
    """Tell whether more than embedding and readout learns; a frozen backbone does less."""
    try:
        return any(p.requires_grad for p in either_backbone(plugin).parameters())
    except DoesNotApply:  # it has a whole model of its own
        return True


@LAWS.law(
    "Nothing is random at evaluation.",
    "Every random draw must depend on self.training.",
    everywhere=True,
)
def evaluation_is_deterministic(plugin: Architecture) -> None:
    for name, _, model, batch in models_of(plugin):
        seed_torch(5)
        before = torch.get_rng_state()
        first = predicted(model, batch)
        if not torch.equal(before, torch.get_rng_state()):
            raise Broken(f"on {name}: an evaluation draws random numbers")
        for seed in (5, 6):
            seed_torch(seed)
            if differ(first, predicted(model, batch)):
                raise Broken(f"on {name}: two evaluations of one input differ")


def first_accepted(plugin: Architecture) -> Toy:
    """Return the first toy that the plugin does not refuse."""
    return models_of(plugin)[0][1]
