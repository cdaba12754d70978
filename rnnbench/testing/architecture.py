"""The laws of architectures."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar

import torch
from torch import Tensor

from rnnbench.check import check
from rnnbench.contract import Architecture, Backbone, Batch, Cell, Layout, Moment, Refusal, State
from rnnbench.nn import Model
from rnnbench.spec import Optimizer
from rnnbench.step import Tricks, assemble, make_optimizer, training_step
from rnnbench.testing.laws import Broken, DoesNotApply, Laws, PluginLaws, differ
from rnnbench.testing.toys import TOYS, Toy

LAWS = Laws()
ROWS, STEPS, WIDTH = 3, 7, 5
EXACT = 1e-10  # in float64


class ArchitectureLaws(PluginLaws):
    """Give `tiny`, a small instance, and every law is a test."""

    laws: ClassVar[Laws] = LAWS


def backbone_of(plugin: Architecture, causal: bool = True) -> Backbone:
    """In float64 and evaluation mode, from a fixed seed."""
    torch.manual_seed(0)
    try:
        return plugin.build(WIDTH, causal=causal).double().eval()
    except Refusal as why:
        raise DoesNotApply(f"it refuses causal={causal}: {why}") from why


def either_backbone(plugin: Architecture) -> Backbone:
    """The causal one, or else the one that looks ahead."""
    try:
        return backbone_of(plugin, True)
    except DoesNotApply:
        return backbone_of(plugin, False)


def inputs(rows: int = ROWS, steps: int = STEPS) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randn(rows, steps, WIDTH, dtype=torch.float64, generator=g)


def models_of(plugin: Architecture) -> list[tuple[str, Toy, Model, Batch]]:
    """The plugin on every toy that it does not refuse, in float64, with a batch."""
    found = []
    for name, toy in TOYS.items():
        torch.manual_seed(0)
        try:
            model = assemble(plugin, toy, Tricks()).double().eval()
        except Refusal:
            continue
        found.append((name, toy, model, doubled(toy.example())))
    if not found:
        raise Broken("it is refused on a task of every kind")
    return found


def doubled(batch: Batch) -> Batch:
    return batch._replace(
        x=batch.x.double() if batch.x.is_floating_point() else batch.x,
        y=batch.y.double() if batch.y.is_floating_point() else batch.y,
    )


def cells_of(module: torch.nn.Module) -> list[Cell]:
    """Every cell, inner ones of wrappers included."""
    return [m for m in module.modules() if isinstance(m, Cell)]


@LAWS.law(
    "y has the input's rows and steps and the stated width; every state tensor is batch-first.",
    "forward must return (B, T, self.width) and a state whose tensors all begin with B.",
)
def output_shapes(plugin: Architecture) -> None:
    for causal in (True, False):
        try:
            backbone = backbone_of(plugin, causal)
        except DoesNotApply:
            continue
        for rows, steps in ((ROWS, STEPS), (1, 1)):
            y, state = backbone(inputs(rows, steps))
            wanted = (rows, steps, backbone.width)
            if tuple(y.shape) != wanted:
                raise Broken(f"causal={causal}: y is {tuple(y.shape)}, expected {wanted}")
            for leaf in leaves(state):
                if leaf.dim() == 0 or leaf.shape[0] != rows:
                    shape = tuple(leaf.shape)
                    raise Broken(f"a state tensor of shape {shape} for {rows} rows")


@LAWS.law(
    "Two chunks with the carried state equal one pass, wherever the cut.",
    "forward must use the state it is given and return all that the next step needs.",
)
def chunks(plugin: Architecture) -> None:
    backbone, x = backbone_of(plugin), inputs()
    whole, final = backbone(x)
    for cut in range(1, STEPS):
        first, state = backbone(x[:, :cut])
        second, end = backbone(x[:, cut:], state)
        found = differ(torch.cat([first, second], 1), whole, EXACT)
        if found:
            raise Broken(f"{STEPS} steps cut after {cut}: outputs differ {found}")
        found = differ(end, final, EXACT)
        if found:
            raise Broken(f"{STEPS} steps cut after {cut}: final states differ {found}")


@LAWS.law(
    "A causal backbone does not look ahead: what comes later changes no earlier output.",
    "build(causal=True) must read left to right, or raise Refusal.",
)
def causality(plugin: Architecture) -> None:
    backbone, x = backbone_of(plugin), inputs()
    before, _ = backbone(x)
    for t in range(STEPS - 1):
        changed = x.clone()
        changed[:, t + 1 :] = torch.randn_like(changed[:, t + 1 :])
        after, _ = backbone(changed)
        found = differ(before[:, : t + 1], after[:, : t + 1])
        if found:
            raise Broken(
                f"inputs from step {t + 2} on changed the outputs up to step {t + 1} {found}"
            )


@LAWS.law(
    "A row's result does not depend on the other rows of its batch.",
    "No operation may mix rows: look for batch statistics and for reshapes that drop dimension 0.",
)
def rows_are_independent(plugin: Architecture) -> None:
    backbone, x = either_backbone(plugin), inputs()
    together, _ = backbone(x)
    for row in range(ROWS):
        alone, _ = backbone(x[row : row + 1])
        found = differ(together[row : row + 1], alone, EXACT)
        if found:
            raise Broken(f"row {row} of {ROWS} differs {found} when it is alone")


@LAWS.law(
    "Padding does not leak: neither its content nor its amount changes a row's result.",
    "A backbone that looks ahead must mask or skip what lies beyond layout.len_B.",
)
def padding(plugin: Architecture) -> None:
    len_B = torch.tensor([STEPS, 4, 1])
    for causal in (True, False):
        try:
            backbone = backbone_of(plugin, causal)
        except DoesNotApply:
            continue
        x = inputs()
        before, _ = backbone(x, None, Layout(len_B))
        for row, length in enumerate(len_B.tolist()):
            changed = x.clone()
            changed[row, length:] = 99.0
            after, _ = backbone(changed, None, Layout(len_B))
            found = differ(before[row, :length], after[row, :length], EXACT)
            if found:
                raise Broken(
                    f"causal={causal}: other padding of a row of {length} changes it {found}"
                )
            cut, _ = backbone(x[row : row + 1, :length], None, Layout(len_B[row : row + 1]))
            found = differ(before[row : row + 1, :length], cut, EXACT)
            if found:
                raise Broken(
                    f"causal={causal}: a row of {length} padded to {STEPS} differs {found} from "
                    "the bare row"
                )


@LAWS.law(
    "Every parameter gets a gradient in one training step.",
    "A parameter without gradient never learns: use it in forward, or do not make it one.",
)
def gradients_reach_every_parameter(plugin: Architecture) -> None:
    for name, toy, model, batch in models_of(plugin):
        training_step(model.train(), Tricks(), batch, None, Moment(0, 0.0))
        for parameter_name, p in model.named_parameters():
            if p.requires_grad and (p.grad is None or not p.grad.isfinite().all()):
                what = "no gradient" if p.grad is None else "a gradient that is not finite"
                raise Broken(f"on {name} ({toy.kind.value}): {parameter_name} has {what}")
            if p.requires_grad and not p.grad.any() and "bias" not in parameter_name:
                raise Broken(f"on {name} ({toy.kind.value}): {parameter_name} has gradient 0")


@LAWS.law(
    "A fused path equals the scan of the step: outputs, final state and all gradients.",
    "Compare forward with scan term by term; the weights may be read in another order.",
)
def fused_equals_scan(plugin: Architecture) -> None:
    cells = [c for c in cells_of(either_backbone(plugin)) if type(c).forward is not Cell.forward]
    if not cells:
        raise DoesNotApply("no cell overrides forward")
    for cell in cells:
        x = torch.randn(ROWS, STEPS, cell_input(cell), dtype=torch.float64, requires_grad=True)
        with torch.no_grad():
            _, state = cell.scan(x)
        for start in (None, state):
            results = []
            for run in (cell.forward, cell.scan):
                cell.zero_grad()
                x.grad = None
                y, final = run(x, start)
                (y.square().sum() + sum(s.sum() for s in leaves(final))).backward()
                grads = [p.grad for p in cell.parameters()] + [x.grad]
                results.append((y.detach(), [s.detach() for s in leaves(final)], grads))
            for what, a, b in zip(("y", "the state", "gradients"), *results, strict=True):
                found = differ(a, b, 1e-9)
                if found:
                    raise Broken(
                        f"{type(cell).__name__}: {what} of forward and scan differ {found}"
                    )


@LAWS.law(
    "Stepping by hand equals forward, and a step changes neither its input nor its state.",
    "step must be pure: no in-place change, nothing remembered on self.",
)
def step_is_pure(plugin: Architecture) -> None:
    cells = cells_of(either_backbone(plugin))
    if not cells:
        raise DoesNotApply("it has no recurrent cell")
    for cell in cells:
        cell.requires_grad_(False)
        x = torch.randn(ROWS, STEPS, cell_input(cell), dtype=torch.float64)
        whole, _ = cell(x)
        state, outputs = cell.initial(x[:, 0]), []
        for t in range(STEPS):
            kept = copy.deepcopy((x[:, t], state))
            y, after = cell.step(x[:, t], state)
            again, _ = cell.step(x[:, t], state)
            if differ(y, again):
                raise Broken(f"{type(cell).__name__}.step gives another result the second time")
            if differ(kept, (x[:, t], state)):
                raise Broken(f"{type(cell).__name__}.step changes its arguments in place")
            outputs.append(y)
            state = after
        found = differ(torch.stack(outputs, 1), whole, EXACT)
        if found:
            raise Broken(f"{type(cell).__name__}: steps and forward differ {found}")


@LAWS.law(
    "A cell runs under torch.func: functional_call, and vmap over rows.",
    "Avoid in-place writes, .item(), and control flow that reads values in step.",
)
def torch_func(plugin: Architecture) -> None:
    cells = cells_of(either_backbone(plugin))
    if not cells:
        raise DoesNotApply("it has no recurrent cell")
    for cell in cells:
        x = torch.randn(ROWS, cell_input(cell), dtype=torch.float64)
        state = cell.initial(x)
        wanted = cell.step(x, state)
        parameters = {k: p.detach() for k, p in cell.named_parameters()}
        stepper = _Stepper(cell)

        def call(x_D: Tensor, state_H: State, _stepper: _Stepper = stepper,
                 _parameters: dict[str, Tensor] = parameters) -> State:  # fmt: skip
            one = tuple(s[None] for s in state_H)
            y, after = torch.func.functional_call(
                _stepper, {f"cell.{k}": p for k, p in _parameters.items()}, (x_D[None], one)
            )
            return y[0], tuple(s[0] for s in after)

        found = differ(torch.func.vmap(call)(x, state), wanted, EXACT)
        if found:
            raise Broken(f"{type(cell).__name__}: vmap over rows differs {found} from a batch")


@LAWS.law(
    "It learns: one batch is overfitted within 300 steps of Adam.",
    "Gradients flow but do not help: look for a detach, a saturated start, a dead output.",
)
def overfits_one_batch(plugin: Architecture) -> None:
    toy, optimizer = TOYS["overfit"], Optimizer(lr=1e-2)
    torch.manual_seed(0)
    try:
        model = assemble(plugin, toy, Tricks())
    except Refusal as why:
        raise DoesNotApply(str(why)) from why
    step, batch = make_optimizer(optimizer, model.parameters(), Tricks()), toy.example()
    first = last = float("nan")
    for i in range(300):
        step.zero_grad()
        last = training_step(model, Tricks(), batch, None, Moment(i, i / 300)).loss.item()
        step.step()
        first = last if i == 0 else first
    if not last < 0.3 * first:
        raise Broken(f"the loss went from {first:.3f} to {last:.3f} nats; expected less than 30%")


@LAWS.law(
    "The same seed gives the same weights.",
    "Draw every initial value with torch's global generator.",
)
def seeded_weights(plugin: Architecture) -> None:
    first, second = (either_backbone(plugin).state_dict() for _ in range(2))
    for name in first:
        if differ(first[name], second[name]):
            raise Broken(f"{name} differs between two builds with one seed")


@LAWS.law(
    "Weights survive: a fresh module that loads the state_dict gives the same outputs.",
    "Register every tensor as parameter or buffer; keep nothing else that forward reads.",
)
def state_dict_round_trip(plugin: Architecture) -> None:
    source = either_backbone(plugin)
    with torch.no_grad():
        for p in source.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    causal = not _refuses(plugin)
    torch.manual_seed(123)
    target = plugin.build(WIDTH, causal=causal).double().eval()
    target.load_state_dict(source.state_dict())
    found = differ(source(inputs())[0], target(inputs())[0])
    if found:
        raise Broken(f"outputs differ {found} after loading the state_dict into a fresh module")


@LAWS.law(
    "It pickles: the plugin and its module travel to another process and give the same outputs.",
    "Keep no lambda, open file or local class in the dataclass or on the module.",
)
def pickles(plugin: Architecture) -> None:
    if pickle.loads(pickle.dumps(plugin)) != plugin:
        raise Broken("the plugin is not equal to its pickled copy")
    backbone = either_backbone(plugin)
    copied = pickle.loads(pickle.dumps(backbone))
    if differ(backbone(inputs())[0], copied(inputs())[0]):
        raise Broken("the pickled module gives other outputs")


@LAWS.law(
    "Nothing is random at evaluation.",
    "Every random draw must depend on self.training.",
)
def evaluation_is_deterministic(plugin: Architecture) -> None:
    backbone = either_backbone(plugin)
    before = torch.get_rng_state()
    first, second = backbone(inputs())[0], backbone(inputs())[0]
    if differ(first, second):
        raise Broken("two evaluations of one input differ")
    if not torch.equal(before, torch.get_rng_state()):
        raise Broken("an evaluation draws random numbers")


@LAWS.law(
    "What `check` says is so: its dry run and a real step agree, and so do their parameter counts.",
    "build must make the same module on every device, and refuse what it cannot train.",
)
def check_tells_the_truth(plugin: Architecture) -> None:
    for name, toy in TOYS.items():
        try:
            found = check(plugin, toy, batch=toy.example())
        except Refusal as why:
            if "fails its dry run" in str(why):
                raise Broken(f"on {name}: {why}") from why
            continue
        model = assemble(plugin, toy, Tricks())
        training_step(model, Tricks(), toy.example(), None, Moment(0, 0.0))
        real = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if real != found.parameters:
            raise Broken(f"on {name}: check counts {found.parameters} parameters, there are {real}")


class _Stepper(torch.nn.Module):
    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x_BD: Tensor, state: State) -> State:
        return self.cell.step(x_BD, state)


def _refuses(plugin: Architecture) -> bool:
    try:
        plugin.build(WIDTH, causal=True)
    except Refusal:
        return True
    return False


def cell_input(cell: Cell) -> int:
    """D of a cell: the width that its `step` accepts."""
    while hasattr(cell, "inner"):
        cell = cell.inner  # type: ignore[assignment]
    if hasattr(cell, "weight_x"):
        return int(cell.weight_x.shape[1])  # type: ignore[union-attr, index]
    for width in (WIDTH, cell.width, WIDTH + cell.width):
        x = torch.randn(1, width, dtype=torch.float64)
        try:
            cell.step(x, cell.initial(x))
        except (RuntimeError, ValueError):
            continue
        return width
    raise Broken(f"{type(cell).__name__}.step takes neither the input's width nor its own")


def leaves(state: State) -> list[Tensor]:
    """The tensors of a nested state."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, (tuple, list)):
        return [leaf for part in state for leaf in leaves(part)]
    return []
