"""The laws of gradients, and of what a backbone keeps from step to step of training."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Moment
from rnnbench.nn import Model
from rnnbench.testing.fixtures.backbones import either_backbone, inputs, models_of, run
from rnnbench.testing.law import Broken, DoesNotApply, Laws, Suspect
from rnnbench.training.determinism import seed_torch
from rnnbench.training.train_step import TrickFold, training_step

LAWS = Laws()
EPSILON = 1e-6  # of central differences, whose rounding is about 1e-9 in float64
LENGTHS = 7, 70  # steps; the second is beyond blocks of 16 to 64, at whose borders graphs are cut
MODES = "at evaluation", "in training"
DRAWS = 3  # of inputs: a kink between two points spoils one difference, hardly three


@LAWS.law(
    "Gradients are those of what is computed, at every step: finite differences agree.",
    "Look for detach, .data, no_grad, truncation within forward, or a backward of your own. If it "
    "is meant (a straight-through estimate), declare it: declares = {'gradients_are_true': 'why'}.",
    declarable=True,
)
def gradients_are_true(plugin: Architecture) -> None:
    try:
        built = either_backbone(plugin)
    except DoesNotApply:  # it reads grids or trees, or brings a whole model
        for name, _, model, batch in models_of(plugin):
            for mode in MODES:
                model.train(mode == MODES[1])
                _suspect_wrong(f"on {name}, {mode}", partial(_wrong_of_loss, model, batch))
        return
    together = "rows_keep_apart" in plugin.declares  # slopes are taken with a row for each step
    for steps in LENGTHS:
        for mode in MODES[: 1 if together else 2]:  # no copy, which would lose hooks on weights
            built.train(mode == MODES[1])
            _suspect_wrong(f"{mode}, {steps} steps", partial(_wrong_of_backbone, built, steps))


def _suspect_wrong(where: str, find: Callable[[int], dict[str, str]]) -> None:
    """Suspect what is wrong at each of several draws: a cut, or an estimate that is meant.

    Args:
        find: returns the places whose gradient is wrong at a draw, each with both figures.
    """
    found = [find(0)]
    while found[-1] and len(found) < DRAWS:
        found.append(find(len(found)))
    always = [place for place in found[0] if all(place in wrong for wrong in found)]
    if always:
        raise Suspect(
            f"{where}: the gradient of {always[0]} is {found[0][always[0]]}" + _and_more(always[1:])
        )


def _and_more(places: list[str]) -> str:
    return f"; so it is of {', '.join(places[:3])}" + " …" * (len(places) > 3) if places else ""


def _wrong_of_backbone(backbone: nn.Module, steps: int, draw: int) -> dict[str, str]:
    return _wrong_of_steps(backbone, steps, draw) | _wrong_of_outputs(backbone, steps, draw)


def _wrong_of_steps(backbone: nn.Module, steps: int, draw: int) -> dict[str, str]:
    """Return the steps whose gradient is not the slope of the outputs, each with both figures."""
    x_1TD = inputs(1, steps, seed=10 + draw)
    g = torch.Generator().manual_seed(20 + draw)
    way_TD = torch.randn(x_1TD.shape[1:], dtype=torch.float64, generator=g)
    x_1TD.requires_grad_()
    y, _ = _passed(backbone, x_1TD)
    weight = torch.randn(y.shape, dtype=torch.float64, generator=g)
    if not y.requires_grad:
        gradient = torch.zeros_like(x_1TD)
    else:
        (got,) = torch.autograd.grad((y * weight).sum(), x_1TD, allow_unused=True)
        gradient = torch.zeros_like(x_1TD) if got is None else got
    told_T = (gradient[0] * way_TD).sum(-1)
    # One row a step, in which this step alone is moved.
    move_TTD = EPSILON * torch.diag_embed(way_TD.T).permute(1, 2, 0)
    rows = x_1TD.detach() + torch.cat([move_TTD, -move_TTD])
    if _draws_noise(backbone, x_1TD.detach()):
        moved = torch.cat([run(backbone, row[None])[0] for row in rows])
    else:
        moved = run(backbone, rows)[0]
    up, down = (moved * weight).sum((1, 2)).chunk(2)
    slope_T = (up - down) / (2 * EPSILON)
    scale = float(slope_T.abs().max())
    return {
        f"step {t + 1}": _both(told, slope)
        for t, (told, slope) in enumerate(zip(told_T.tolist(), slope_T.tolist(), strict=True))
        if _differs(told, slope, scale)
    }


def _wrong_of_outputs(backbone: nn.Module, steps: int, draw: int) -> dict[str, str]:
    """Return the parameters whose gradient is not the slope of the outputs, with both figures."""
    x = inputs(2, steps, seed=30 + draw)
    y, _ = _passed(backbone, x)
    g = torch.Generator().manual_seed(40 + draw)
    weight = torch.randn(y.shape, dtype=torch.float64, generator=g)
    return _wrong_of_parameters(
        backbone, (y * weight).sum(), lambda: float((run(backbone, x)[0] * weight).sum()), draw
    )


def _wrong_of_loss(model: Model, batch: Batch, draw: int) -> dict[str, str]:
    """Return the parameters whose gradient is not the slope of the loss, with both figures."""

    def loss() -> Tensor:
        seed_torch(5)
        return model.loss(model(batch).out, batch)

    with torch.no_grad():  # another point at each draw, in place of another input
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    return _wrong_of_parameters(model, loss(), lambda: float(loss()), draw)


def _wrong_of_parameters(
    module: nn.Module, total: Tensor, again: Callable[[], float], draw: int
) -> dict[str, str]:
    """Return the parameters whose gradient is not the slope of a total, with both figures.

    Args:
        again: computes the total anew.
    """
    chosen = [(n, p) for n, p in module.named_parameters() if p.requires_grad and p.numel()]
    if not chosen or not total.requires_grad:
        return {}
    g = torch.Generator().manual_seed(50 + draw)
    gradients = torch.autograd.grad(total, [p for _, p in chosen], allow_unused=True)
    pairs = {}
    for (name, p), gradient in zip(chosen, gradients, strict=True):
        way = torch.randn(p.shape, dtype=p.dtype, generator=g)
        told = 0.0 if gradient is None else float((gradient.conj() * way).real.sum())
        pairs[name] = told, _slope(p, way, again)
    scale = max(abs(slope) for _, slope in pairs.values())
    return {
        name: _both(told, slope)
        for name, (told, slope) in pairs.items()
        if _differs(told, slope, scale)
    }


def _both(told: float, slope: float) -> str:
    return f"{told:.6g}, and what is computed moves by {slope:.6g}"


@torch.no_grad()
def _slope(p: nn.Parameter, way: Tensor, value: Callable[[], float]) -> float:
    """Return by how much a value moves with a parameter, by a central difference."""
    kept, values = p.detach().clone(), []
    for sign in (1, -1):
        p.copy_(kept + sign * EPSILON * way)
        values.append(value())
    p.copy_(kept)
    return (values[0] - values[1]) / (2 * EPSILON)


def _differs(told: float, slope: float, scale: float) -> bool:
    """Tell whether a gradient is off by more than differences of float64 are."""
    return not abs(told - slope) <= 1e-4 * max(abs(told), abs(slope)) + 1e-6 * scale + 1e-8


def _passed(backbone: nn.Module, x: Tensor) -> tuple[Tensor, object]:
    seed_torch(5)  # as `run` does, but with a graph
    return backbone(x, None, None)


def _draws_noise(backbone: nn.Module, x: Tensor) -> bool:
    seed_torch(5)
    before = torch.get_rng_state()
    run(backbone, x)
    return not torch.equal(before, torch.get_rng_state())


@LAWS.law(
    "A batch leaves nothing behind: no graph or tensor of earlier ones is kept.",
    "Keep no output on self, in a list or a module's global; pass on in the state what is needed.",
)
def earlier_batches_are_let_go(plugin: Architecture) -> None:
    for name, _, model, batch in models_of(plugin)[:1]:
        gc.freeze()  # only what is made from now on is looked through
        try:
            counts = []
            for i in range(4):
                for _ in range(3):
                    training_step(model.train(), TrickFold(), batch, None, Moment(i, i / 4))
                    model.eval()(batch)
                model.zero_grad(set_to_none=True)
                gc.collect()
                counts.append(sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()))
        finally:
            gc.unfreeze()
        if counts[1] < counts[2] < counts[3]:
            more = (counts[3] - counts[2]) / 3
            raise Broken(f"on {name}: each batch leaves {more:.3g} tensors that stay in memory")
