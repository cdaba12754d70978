"""Makes the meta device quick: operators of which the result's shape is known are not asked again.

torch finds shapes on the meta device by operators in Python, 0.3 to 0.5 ms each, where a step over
time asks the same of thousands. What is remembered is exactly what torch answered before.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

MOST = 20_000  # calls that are remembered; then all are forgotten
PLAIN = (int, float, bool, str, type(None))
NAMES = (torch.dtype, torch.device, torch.layout, torch.memory_format)


class _Layout(NamedTuple):
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


class _UnknownArgumentError(Exception):
    """An argument may matter in more ways than by its shape."""


_results: dict[Hashable, tuple[bool, list[_Layout]]] = {}
_is_remembered: dict[Any, bool] = {}


class RememberedShapes(TorchDispatchMode):
    """Answer calls on the meta device by what the same call gave before, within `with`.

    Only operators of torch that make new tensors are remembered. Views, what writes into a tensor,
    what reads a value, and calls with tensors that are not on the meta device go on to torch.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return the operator's result, made from its remembered layout where there is one."""
        kwargs = kwargs or {}
        try:
            key = _key(func, args, kwargs) if _makes_new_tensors(func) else None
        except _UnknownArgumentError:
            key = None
        if key is None:
            return func(*args, **kwargs)
        known = _results.get(key)
        if known is not None:
            is_tuple, layouts = known
            made = [
                torch.empty_strided(at.shape, at.stride, dtype=at.dtype, device="meta")
                for at in layouts
            ]
            return tuple(made) if is_tuple else made[0]
        out = func(*args, **kwargs)
        _remember(key, out)
        return out


def _makes_new_tensors(func: Any) -> bool:
    """Tell whether an operator is one of torch whose results are new tensors, and no views."""
    known = _is_remembered.get(func)
    if known is None:
        schema = getattr(func, "_schema", None)
        known = _is_remembered[func] = (
            schema is not None
            and func.namespace in ("aten", "prims")
            and not schema.is_mutable
            and len(schema.returns) > 0
            and all(r.alias_info is None and str(r.type) == "Tensor" for r in schema.returns)
        )
    return known


def _key(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
    """Return all that the layout of an operator's result depends on.

    Raises:
        _UnknownArgumentError: it may depend on more.
    """
    named = tuple((name, _of(value)) for name, value in kwargs.items())
    return func, torch.get_default_dtype(), tuple(map(_of, args)), named


def _of(value: Any) -> Hashable:
    cls = type(value)
    if cls is Tensor or cls is Parameter:
        if not value.is_meta or value.layout is not torch.strided:
            raise _UnknownArgumentError
        if value.is_conj() or value.is_neg():
            raise _UnknownArgumentError
        return value.shape, value.stride(), value.dtype
    if cls in PLAIN:
        return cls, value  # 1, 1.0 and True are equal, and promote differently
    if cls is list or cls is tuple:
        return cls, tuple(map(_of, value))
    if isinstance(value, NAMES):
        return value
    raise _UnknownArgumentError


def _remember(key: Hashable, out: Any) -> None:
    made = out if isinstance(out, tuple) else (out,)
    if not all(type(o) is Tensor and o.is_meta and o.layout is torch.strided for o in made):
        return
    if len(_results) >= MOST:
        _results.clear()
    layouts = [_Layout(o.shape, o.stride(), o.dtype) for o in made]
    _results[key] = isinstance(out, tuple), layouts
