"""Weights that are others while a training pass lasts: noise on them, and connections dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from rnnbench.contract import Refusal
from rnnbench.nn.cells.gated import GatedCell

PARAMETRISED = "parametrizations"  # where torch.nn.utils.parametrize keeps them


class TemporaryWeight(NamedTuple):
    """A tensor that stands in for a parameter of a module: `module.name`."""

    module: nn.Module
    name: str
    value: Tensor


Stands = Callable[[nn.Module], Iterator[TemporaryWeight]]


def weights(model: nn.Module, name: str | None = None) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield where each parameter lives, with what stands there now.

    Args:
        name: only parameters of this name, those of a list of this name included, and weights of
            this name that are computed from a parameter.
    """
    for module in model.modules():
        for own in module._parameters:
            if module._parameters[own] is None:
                continue
            if name in (None, own):
                yield module, own, getattr(module, own)
        if name is None:
            continue
        if name in getattr(module, PARAMETRISED, ()):
            yield module, name, getattr(module, name)
        listed = module._modules.get(name)
        if isinstance(listed, nn.ParameterList):
            for i in range(len(listed)):
                yield listed, str(i), listed[i]


def in_training_passes(model: nn.Module, stands: Stands) -> None:
    """Let tensors stand in for parameters while a pass in training mode lasts.

    A pass in evaluation mode, the optimiser and checkpoints see the parameters themselves. Fused
    kernels and all tiers of the scan read what stands in; gradients reach the parameters through
    what it was made of. Tricks that do this compose: the later one reads what the former put.

    Args:
        stands: called at the start of each pass; it must reach parameters through its argument
            only, since models are copied.
    """

    def begin(model: nn.Module, inputs: Any) -> None:
        if not model.training:
            return
        put = [(*_place_of(stand), stand.value) for stand in stands(model)]
        for module, name, value in put:
            # An attribute of the instance hides the parameter and leaves its registration alone.
            module.__dict__[name] = value if name != "forward" else lambda value=value: value

        def end(model: nn.Module, inputs: Any, result: Any) -> None:
            handle.remove()
            for module, name, _ in put:
                module.__dict__.pop(name, None)

        # Registered now, so that it comes after the hooks of others, which may take steps again.
        handle = model.register_forward_hook(end, always_call=True)

    model.register_forward_pre_hook(begin)


def _place_of(stand: TemporaryWeight) -> tuple[nn.Module, str]:
    """Return the module and the attribute that what stands in takes.

    A weight that is computed from another one (`torch.nn.utils.parametrize`: quantised, normalised)
    is a property of its module, which no attribute hides; it is what a module of its own returns.
    """
    parametrised: Mapping[str, nn.Module] = getattr(stand.module, PARAMETRISED, {})
    if stand.name in parametrised:
        return parametrised[stand.name], "forward"
    return stand.module, stand.name


def refuse_watched(name: str, model: nn.Module) -> None:
    """Refuse estimators that use a cell's matrices outside of the passes, as KF-RTRL and e-prop do.

    Raises:
        Refusal: naming the trick.
    """
    watched = [m for m in model.modules() if isinstance(m, GatedCell) and "project" in m.__dict__]
    if watched:
        raise Refusal(
            f"{name} changes the weights while a pass lasts, and the estimator follows what enters "
            f"each cell on the understanding that its weights stay.\n  Drop {name}, or choose "
            "rtrl or uoro."
        )
