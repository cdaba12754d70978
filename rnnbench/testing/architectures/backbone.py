"""The laws of backbones: how a sequence is read."""

from __future__ import annotations

import copy

import torch

from rnnbench.contract import Architecture, Layout
from rnnbench.testing.fixtures.backbones import (
    EXACT,
    ROWS,
    STEPS,
    backbone_of,
    both_backbones,
    either_backbone,
    inputs,
    leaves,
    modes,
    row_of,
    run,
)
from rnnbench.testing.law import Broken, Laws, Suspect, differ
from rnnbench.training.determinism import seed_torch

LAWS = Laws()
LONG = 65  # beyond the blocks of 16, 32 or 64 steps in which a scan may be cut


@LAWS.law(
    "y has the input's rows, steps and precision and the stated width; every state tensor is "
    "batch-first.",
    "forward must return (B, T, self.width) and a state whose tensors all begin with B.",
    everywhere=True,
)
def output_shapes(plugin: Architecture) -> None:
    for request, backbone in both_backbones(plugin):
        for dtype in (torch.float64, torch.float32):
            for rows, steps in ((ROWS, STEPS), (1, 1), (2, LONG)):
                y, state = run(backbone.to(dtype), inputs(rows, steps).to(dtype))
                wanted = (rows, steps, backbone.width)
                if tuple(y.shape) != wanted:
                    raise Broken(f"{request}: y is {tuple(y.shape)}, expected {wanted}")
                if y.dtype != dtype:
                    raise Broken(f"{request}: y is {y.dtype} for a module and input of {dtype}")
                for leaf in leaves(state):
                    if leaf.dim() == 0 or leaf.shape[0] != rows:
                        shape = tuple(leaf.shape)
                        raise Broken(f"a state tensor of shape {shape} for {rows} rows")
                    if leaf.is_floating_point() and leaf.dtype != dtype:
                        raise Broken(f"a state tensor of {leaf.dtype} for an input of {dtype}")


@LAWS.law(
    "Chunks with the carried state equal one pass, wherever the cuts.",
    "forward must use the state it is given and return all that the next step needs.",
    everywhere=True,
)
def chunks(plugin: Architecture) -> None:
    backbone = backbone_of(plugin)
    all_cuts: list[tuple[int, ...]] = [(cut,) for cut in range(1, STEPS)]
    all_cuts += [(2, 5), tuple(range(1, STEPS)), (1, LONG - 1), (16, 33), (LONG // 2,)]
    for cuts in all_cuts:
        steps = STEPS if max(cuts) < STEPS else LONG
        x = inputs(steps=steps)
        whole, final = run(backbone, x)
        outputs, state = [], None
        for a, b in zip((0, *cuts), (*cuts, steps), strict=True):
            y, state = run(backbone, x[:, a:b], state)
            # What was read last is carried, another stream in between or not.
            state = backbone.carry(state)
            run(backbone, inputs(seed=2))
            outputs.append(y)
        where = f"{steps} steps cut after {', '.join(map(str, cuts))}"
        for what, gap in (
            ("outputs", differ(torch.cat(outputs, 1), whole, EXACT)),
            ("final states", differ(state, final, EXACT)),
        ):
            if gap:
                raise Broken(f"{where}: {what} differ {gap}")


@LAWS.law(
    "What is carried to the next batch is cut off from the graph.",
    "Backbone.carry must return the state in its own nesting, with every tensor detached.",
)
def carried_state_is_detached(plugin: Architecture) -> None:
    backbone = backbone_of(plugin).train()
    _, state = backbone(inputs().requires_grad_())
    for leaf in leaves(backbone.carry(state)):
        if leaf.requires_grad:
            raise Broken(f"a carried tensor of shape {tuple(leaf.shape)} still has a gradient")


@LAWS.law(
    "A causal backbone does not look ahead: what comes later changes no earlier output.",
    "build(causal=True) must read left to right, or raise Refusal.",
    everywhere=True,
)
def causality(plugin: Architecture) -> None:
    for mode, backbone in modes(backbone_of(plugin)):
        for steps, places in ((STEPS, range(1, STEPS)), (LONG, (1, 16, 32, LONG - 1))):
            x = inputs(steps=steps)
            before, _ = run(backbone, x)
            for t in places:
                changed = x.clone()
                changed[:, t:] = inputs(steps=steps, seed=2)[:, t:]
                after, _ = run(backbone, changed)
                gap = differ(before[:, :t], after[:, :t], EXACT)
                if gap:
                    raise Broken(
                        f"{mode}: inputs from step {t + 1} on changed the outputs up to step {t} "
                        f"{gap}"
                    )


@LAWS.law(
    "A row's result does not depend on the other rows of its batch.",
    "No operation may mix rows: look for batch statistics and for reshapes that drop dimension 0.",
    everywhere=True,
)
def rows_are_independent(plugin: Architecture) -> None:
    for request, backbone in both_backbones(plugin):
        fault = _mixed_rows(backbone.eval())
        if fault:
            raise Broken(f"{request}, at evaluation: {fault}")


@LAWS.law(
    "Rows keep apart in training too: one row's input changes no other row's output.",
    "Look for statistics of the batch, a shuffle or a reshape over dimension 0; or say why rows "
    "meet: declares = {'rows_keep_apart': 'why'}.",
    everywhere=True,
    declarable=True,
)
def rows_keep_apart(plugin: Architecture) -> None:
    for request, backbone in both_backbones(plugin):
        fault = _mixed_rows(backbone.train())
        if fault:  # as batch normalisation does it
            raise Suspect(f"{request}, in training: {fault}")


def _mixed_rows(backbone: torch.nn.Module) -> str | None:
    """Return how a row depends on others, or None."""
    x = inputs()
    together, state = run(backbone, x)
    drawn = torch.get_rng_state()
    seed_torch(5)
    noisy = not torch.equal(drawn, torch.get_rng_state())
    for row in range(ROWS):
        if not noisy:  # noise is drawn for the whole batch, so one row gets another
            alone, own = run(backbone, x[row : row + 1])
            for what, a, b in (("output", together[row : row + 1], alone),
                               ("final state", row_of(state, row), own)):  # fmt: skip
                gap = differ(a, b, EXACT)
                if gap:
                    return f"the {what} of row {row} of {ROWS} differs {gap} when it is alone"
        others = inputs(seed=3)
        others[row] = x[row]
        gap = differ(run(backbone, others)[0][row], together[row], EXACT)
        if gap:
            return f"row {row} of {ROWS} differs {gap} when the others have other content"
    return None


@LAWS.law(
    "Padding does not leak: neither its content nor its amount changes a row's result.",
    "A backbone that looks ahead must mask or skip what lies beyond layout.len_B.",
    everywhere=True,
)
def padding(plugin: Architecture) -> None:
    x = inputs()
    for request, built in both_backbones(plugin):
        for mode, backbone in modes(built):
            for lengths in ((4, STEPS, 1), (3, 1, 2)):  # not sorted; and no row that fills T
                before, _ = run(backbone, x, None, Layout(torch.tensor(lengths)))
                if before.shape[1] != STEPS:
                    raise Broken(
                        f"{request}: rows of {lengths} padded to {STEPS} gave "
                        f"{before.shape[1]} steps"
                    )
                for row, length in enumerate(lengths):
                    changed = x.clone()
                    changed[row, length:] = 99.0
                    after, _ = run(backbone, changed, None, Layout(torch.tensor(lengths)))
                    gap = differ(before[row, :length], after[row, :length], EXACT)
                    if gap:
                        raise Broken(
                            f"{request}, {mode}: other padding of a row of {length} changes it "
                            f"{gap}"
                        )
                    if mode == "in training":  # noise has the shape of the batch
                        continue
                    bare, layout = x[row : row + 1, :length], Layout(torch.tensor([length]))
                    for words, given in (("with", layout), ("without", None)):
                        gap = differ(before[row : row + 1, :length],
                                       run(backbone, bare, None, given)[0], EXACT)  # fmt: skip
                        if gap:
                            raise Broken(
                                f"{request}: a row of {length} padded to {STEPS} differs {gap} "
                                f"from the bare row {words} its length"
                            )


@LAWS.law(
    "A backbone is a function: it changes neither its input nor its state, and remembers nothing.",
    "Pass what the next step needs in the state; keep nothing on self, write nothing in place.",
    everywhere=True,
)
def forward_is_pure(plugin: Architecture) -> None:
    backbone, x = either_backbone(plugin), inputs()
    weights = copy.deepcopy(list(backbone.state_dict().values()))
    plain, state = run(backbone, x)
    other_weights = copy.deepcopy(backbone)
    # One that learns nothing itself, such as a reservoir, may keep its weights as buffers.
    drawn: list[torch.Tensor] = [*other_weights.parameters()] or [*other_weights.buffers()]
    with torch.no_grad():
        for p in drawn:
            if p.is_floating_point() or p.is_complex():
                p.copy_(torch.randn_like(p))
    if weights and not differ(run(other_weights, x)[0], plain):
        raise Broken("a backbone with other weights gives the same outputs")
    for start in (None, copy.deepcopy(state)):
        kept = copy.deepcopy((x, start))
        first, _ = run(backbone, x, start)
        if differ(kept, (x, start)):
            raise Broken("forward changes its arguments in place")
        for other in (inputs(seed=2), inputs(1, 3, seed=2)):
            run(backbone, other)
            gap = differ(run(backbone, x, start)[0], first)
            if gap:
                raise Broken(f"outputs differ {gap} after another input was read")
    if differ(list(backbone.state_dict().values()), weights):
        raise Broken("an evaluation changes parameters or buffers")
    buffers = copy.deepcopy(list(backbone.buffers()))
    run(backbone.train(), inputs(seed=2))
    gap = differ(run(backbone.eval(), x)[0], plain)
    # Running statistics are there to be changed by training, and are saved with the weights.
    if gap and not differ(buffers, list(backbone.buffers())):
        raise Broken(f"evaluation differs {gap} after a pass in training mode")


@LAWS.law(
    "Gradients flow back through time: wherever an early input moves a late output.",
    "Look for a detach, .data, no_grad or a rebuilt tensor between two steps.",
    everywhere=True,
)
def gradients_flow_back(plugin: Architecture) -> None:
    backbone, x = either_backbone(plugin), inputs().requires_grad_()
    y, _ = backbone(x)
    weight = torch.randn_like(y[:, -1])
    (gradient,) = torch.autograd.grad((y[:, -1] * weight).sum(), x)
    for t in range(STEPS):
        moved = x.detach().clone()
        moved[:, t] += 1e-3
        gap = ((run(backbone, moved)[0] - y)[:, -1] * weight).abs().max().item()
        if gap > 1e-9 and not gradient[:, t].any():
            raise Broken(
                f"step {t + 1} of {STEPS} moves the last output by {gap:.2g} and gets no gradient"
            )
