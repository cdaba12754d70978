"""The settings and tensors that a cell holds, by which a trace of its step is kept and replayed."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.nn.scan.unsupported import Unsupported

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device})
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class Slot(NamedTuple):
    """The place of a tensor in a cell: `holder[name]`."""

    holder: dict[str, Any]
    name: str


class CellSnapshot(NamedTuple):
    """The settings of a cell, and where its tensors are.

    Attributes:
        key: all of the cell but the values of its tensors; hashable.
        slots: where its tensors are.
        problem: why the cell cannot be keyed, "" if it can.
    """

    key: tuple[Any, ...]
    slots: list[Slot]
    problem: str

    @property
    def tensors(self) -> list[Tensor]:
        """Return the tensors that are in the slots now."""
        return [slot.holder[slot.name] for slot in self.slots]


def take_snapshot(cell: nn.Module) -> CellSnapshot:
    """Collect the classes, settings and tensors of a cell and of all that is in it."""
    key: list[Any] = []
    slots: list[Slot] = []
    problems: list[str] = []

    def visit(module: nn.Module, path: str) -> None:
        held = module.__dict__
        key.append(type(module))
        if path and any(held[h] for h in _HOOKS):
            problems.append(f"{path} has hooks")
        for kind in ("_parameters", "_buffers"):
            for name, tensor in held[kind].items():
                if tensor is not None:
                    key.append((name, *like(tensor)))
                    slots.append(Slot(held[kind], name))
        for name, value in held.items():
            if name in _INTERNAL:
                continue
            if isinstance(value, Tensor):
                key.append((name, *like(value)))
                slots.append(Slot(held, name))
            elif type(value) in _PLAIN:
                key.append((name, value))
            else:
                try:
                    key.append((name, _frozen(value)))
                except TypeError:
                    problems.append(f"attribute {path}{name} is a {type(value).__name__}")
        for name, child in held["_modules"].items():
            if child is not None:
                visit(child, f"{path}{name}.")

    visit(cell, "")
    return CellSnapshot(tuple(key), slots, "; ".join(problems))


def like(tensor: Tensor) -> tuple[Any, ...]:
    """Return all of a tensor that a trace depends on: everything but its values."""
    return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad


def _frozen(value: Any) -> Any:
    """Return a hashable equal of a plain value.

    Raises:
        TypeError: it might change without notice.
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (enum.Enum, _FUNCTIONS)):
        return value
    if isinstance(value, (tuple, list)):
        return kind, tuple(_frozen(v) for v in value)
    if kind is dict:
        return kind, tuple((_frozen(k), _frozen(v)) for k, v in value.items())
    if kind in (set, frozenset):
        return kind, frozenset(_frozen(v) for v in value)
    if kind is functools.partial:
        return kind, value.func, _frozen(value.args), _frozen(value.keywords)
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return kind, tuple(_frozen(getattr(value, f.name)) for f in fields)
    raise TypeError(f"{kind.__name__} may change without notice")


@contextmanager
def replaced(slots: Sequence[Slot], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put other tensors into the places of a cell's own, and the own ones back at the end.

    Raises:
        Unsupported: something wrote into one of these places.
    """
    own = [slot.holder[slot.name] for slot in slots]
    try:
        for slot, tensor in zip(slots, tensors, strict=True):
            slot.holder[slot.name] = tensor
        yield
        written = [
            slot.name
            for slot, tensor in zip(slots, tensors, strict=True)
            if slot.holder.get(slot.name) is not tensor
        ]
    finally:
        for slot, tensor in zip(slots, own, strict=True):
            slot.holder[slot.name] = tensor
    if written:
        raise Unsupported(f"its step writes {', '.join(written)} on the cell")


@contextmanager
def unchanged(cell: nn.Module) -> Iterator[None]:
    """Put back what a step writes on its cell, and refuse it: a trace would keep it for ever.

    Raises:
        Unsupported: naming what was written.
    """
    places = [d for m in cell.modules() for d in (m.__dict__, m._parameters, m._buffers)]
    before = [dict(place) for place in places]
    try:
        yield
    finally:
        written = []
        for place, old in zip(places, before, strict=True):
            names = place.keys() | old.keys()
            written += [n for n in names if place.get(n) is not old.get(n) or n not in old]
            for n in names:
                if n in old:
                    place[n] = old[n]
                else:
                    del place[n]
    if written:
        raise Unsupported(f"its step writes {', '.join(sorted(written))} on the cell")
