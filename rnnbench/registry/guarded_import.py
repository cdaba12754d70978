"""Imports plugins so that what they do to the process while they are imported harms nothing else.

A plugin that ends the process would end the command without a word; one that prints would spoil
what is printed as JSON; one that sets a seed, the default type of numbers or the number of threads
would change the results of all other plugins of the process.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rnnbench.files.opened_files import watching

SETTINGS = (".toml", ".ini", ".cfg", ".conf", ".yaml", ".yml")  # of libraries, as they start

# By package, the files of data that were read, and what was changed, while it was imported.
_opened: dict[str, dict[Path, None]] = {}
_changed: dict[str, dict[str, None]] = {}


class EndedByImportError(Exception):
    """A plugin ended the process, or tried to, while it was imported."""


def import_plugin(module: str) -> Any:
    """Import a plugin's module; undo what that changes in the process, and print to stderr.

    Raises:
        EndedByImportError: it called os._exit, os.abort or killed its own process.
        BaseException: whatever else the module raises.
    """
    if module in sys.modules:
        return sys.modules[module]
    package = module.partition(".")[0]
    with (
        _unchanged(package),
        _not_ending(),
        contextlib.redirect_stdout(_Noted(package)),
        watching() as opened,
    ):
        imported = importlib.import_module(module)
    found = (path for path in opened.data() if path.suffix not in SETTINGS)
    _opened.setdefault(package, {}).update(dict.fromkeys(found))
    return imported


def opened_at_import(module: str) -> list[Path]:
    """Return the files of data that were read while a plugin's package was imported."""
    return list(_opened.get(module.partition(".")[0], ()))


def changed_at_import(module: str) -> list[str]:
    """Return what importing a plugin's package changed in the process, in words."""
    return list(_changed.get(module.partition(".")[0], ()))


class _Noted:
    """Stands for the standard output while a plugin is imported: passes it on to stderr."""

    def __init__(self, package: str) -> None:
        self._package = package

    def write(self, text: str) -> int:
        if text.strip():
            _changed.setdefault(self._package, {})["prints to standard output"] = None
        return sys.stderr.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextlib.contextmanager
def _not_ending() -> Iterator[None]:
    """Turn what ends the process at once, without a word, into an error."""

    def refuse(name: str) -> Callable[..., None]:
        def ended(*arguments: Any) -> None:
            said = ", ".join(map(str, arguments))
            raise EndedByImportError(f"it ends the process: {name}({said})")

        return ended

    kill = os.kill

    def refuse_own(pid: int, number: int) -> None:
        if pid in (0, os.getpid()) and number:
            raise EndedByImportError(f"it ends the process: os.kill(os.getpid(), {number})")
        kill(pid, number)

    original = {name: getattr(os, name) for name in ("_exit", "abort", "kill")}
    os._exit, os.abort, os.kill = refuse("os._exit"), refuse("os.abort"), refuse_own  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, function in original.items():
            setattr(os, name, function)


@contextlib.contextmanager
def _unchanged(package: str) -> Iterator[None]:
    """Put back what an import changed, note it, and warn of it."""
    before = {what: read() for what, (read, _) in _parts().items()}
    try:
        yield
    finally:
        changed = []
        for what, (read, put_back) in _parts().items():
            if what in before and not _same(before[what], read()):
                put_back(before[what])
                changed.append(what)
        if changed:
            _changed.setdefault(package, {}).update(dict.fromkeys(f"changes {w}" for w in changed))
            warnings.warn(
                f"importing {package} changes {', '.join(changed)}, for all plugins of the "
                "process: undone. Move it into the code that needs it.",
                RuntimeWarning,
                stacklevel=5,
            )


def _same(a: Any, b: Any) -> bool:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(a, torch.Tensor):
        return bool(torch.equal(a, b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool((a == b).all()) if hasattr(a, "all") else bool(a == b)


def _parts() -> dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Return how to read, and to put back, each part of the process that results depend on."""
    parts: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "the state of Python's random numbers": (random.getstate, random.setstate),
        "the working directory": (os.getcwd, os.chdir),
        "the limit of recursion": (sys.getrecursionlimit, sys.setrecursionlimit),
    }
    for number in (signal.SIGINT, signal.SIGTERM):
        parts[f"what {number.name} does"] = (
            partial(signal.getsignal, number),
            partial(signal.signal, number),
        )
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        parts["the state of NumPy's random numbers"] = (
            numpy.random.get_state,
            numpy.random.set_state,
        )
        parts["what NumPy does at overflow"] = (
            numpy.geterr,
            lambda error: numpy.seterr(**error),
        )
    torch = sys.modules.get("torch")
    if torch is not None:
        parts |= {
            "the state of torch's random numbers": (torch.get_rng_state, torch.set_rng_state),
            "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
            "torch's default device": (
                torch.get_default_device,
                lambda device: torch.set_default_device(None if device.type == "cpu" else device),
            ),
            "the number of torch's threads": (torch.get_num_threads, torch.set_num_threads),
            "whether torch records gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
            "the precision of torch's products": (
                torch.get_float32_matmul_precision,
                torch.set_float32_matmul_precision,
            ),
            "whether torch is deterministic": (
                torch.are_deterministic_algorithms_enabled,
                torch.use_deterministic_algorithms,
            ),
        }
    return parts
