"""Plugins that were given as classes of this Python session, such as those of a notebook's cells.

Their code has no version and is kept nowhere. So each goes by a name of its own, which ends in a
hash of its code, at version 0: other code is another plugin, and no installed one is meant by it.
They are known to this process only. No torch here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import sys
import sysconfig
import types
from hashlib import sha256
from typing import Any

from rnnbench.errors import PluginError

UNVERSIONED = 0  # the version of all of them
SESSION = "a Python session"  # stands where a distribution's name would, in records
_ATOMS = (str, bytes, int, float, complex, bool, type(None))

_given: dict[tuple[str, str], Any] = {}


def note_given(kind: str, cls: Any) -> str:
    """Make a class known to this process; return the name that it goes by in runs.

    Raises:
        PluginError: it is no frozen dataclass.
    """
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen or "__dataclass_params__" not in cls.__dict__:
        raise PluginError(
            f"{cls.__name__} is not a frozen dataclass: decorate it @dataclass(frozen=True)"
        )
    name = f"{cls.name}-{code_hash(cls)}"
    known = _given.get((kind, name))
    if known is None or known.__bases__ != (cls,):
        # Two objects are equal where class and settings are, and what is kept of a task's data in
        # memory and on disk goes by that and by its version: other code needs a class of its own.
        about = {"name": cls.name, "__module__": cls.__module__, "__doc__": cls.__doc__}
        if kind == "tasks":
            about["version"] = int(code_in(name), 16)
        _given[kind, name] = type(cls.__name__, (cls,), about)
    return name


def given_class(kind: str, name: str) -> Any | None:
    """Return the class that was given under a name, None where there is none."""
    return _given.get((kind, name))


def is_given(cls: Any) -> bool:
    """Tell whether a class is one of those that were given."""
    return any(cls is given for given in _given.values())


def code_in(name: str) -> str:
    """Return the hash in a name that `note_given` gave."""
    return name.rpartition("-")[2]


def code_hash(cls: type) -> str:
    """Return a hash of what a class does: of its code and of all code of the session it leads to.

    Comments, and where the code stands, make no difference; the version of Python may.
    """
    digest = _CodeDigest()
    digest.add(cls)
    return digest.hexdigest()


class _CodeDigest:
    """Walks from a class to the functions, classes and values of the session that it uses."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._seen: dict[int, Any] = {}

    def hexdigest(self) -> str:
        return self._hash.hexdigest()[:8]

    def add(self, thing: Any) -> None:
        """Take up a value, a function or a class, and what it refers to."""
        if isinstance(thing, _ATOMS):
            self._write("value", type(thing).__name__, repr(thing))
            return
        if id(thing) in self._seen:
            self._write("seen", str(list(self._seen).index(id(thing))))
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, (tuple, list)):
            self._write(type(thing).__name__, str(len(thing)))
            for part in thing:
                self.add(part)
        elif isinstance(thing, (set, frozenset)):
            self._write("set", *sorted(map(repr, thing)))
        elif isinstance(thing, dict):
            self._write("dict", str(len(thing)))
            for key in thing:
                self.add(key)
                self.add(thing[key])
        elif isinstance(thing, types.CodeType):
            self._add_code(thing)
        elif isinstance(thing, (staticmethod, classmethod)):
            self._write(type(thing).__name__)
            self.add(thing.__func__)
        elif isinstance(thing, property):
            for part in (thing.fget, thing.fset):
                self.add(part)
        elif isinstance(thing, types.FunctionType):
            self._add_function(thing)
        elif isinstance(thing, type):
            self._add_class(thing)
        elif isinstance(thing, types.ModuleType):
            self._write("module", thing.__name__)
        elif callable(getattr(thing, "func", None)):  # cached_property, partial
            self._write(type(thing).__qualname__)
            self.add(thing.func)
        else:
            self._add_object(thing)

    def _write(self, *parts: str) -> None:
        for part in parts:
            self._hash.update(part.encode() + b"\0")

    def _add_code(self, code: types.CodeType) -> None:
        self._write("code", code.co_code.hex(), *code.co_names, "|", *code.co_varnames)
        for constant in code.co_consts:
            self.add(constant)

    def _add_function(self, function: types.FunctionType) -> None:
        self._write("function", function.__qualname__)
        if not _of_session(function):
            self._write(function.__module__)
            return
        self.add(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            self.add(cell.cell_contents)
        for name in _global_names(function.__code__):
            if name in function.__globals__:
                self._write(name)
                self.add(function.__globals__[name])

    def _add_class(self, cls: type) -> None:
        self._write("class", cls.__qualname__)
        if not _of_session(cls):
            self._write(cls.__module__)
            return
        for base in cls.__bases__:
            self.add(base)
        made = {"__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "name"}
        made |= {
            "__annotations__",
            "__static_attributes__",
            "__match_args__",
            "__dataclass_params__",
        }
        if dataclasses.is_dataclass(cls):
            made |= {"__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"}
            made |= {"__replace__", "__dataclass_fields__"}
            for field in dataclasses.fields(cls):
                self._write("field", field.name, str(field.type))
                self.add(None if field.default is dataclasses.MISSING else field.default)
        for name, value in sorted(cls.__dict__.items()):
            if name not in made and not name.startswith("_abc_"):
                self._write(name)
                self.add(value)

    def _add_object(self, thing: Any) -> None:
        """Take up an object: its class, and what it holds where that can be told."""
        self.add(type(thing))
        if hasattr(thing, "detach"):  # a tensor
            thing = thing.detach().cpu().tolist()
        elif _of_session(type(thing)) and hasattr(thing, "__dict__"):
            self.add(dict(vars(thing)))
            return
        with contextlib.suppress(Exception):  # what cannot be pickled is known by its class
            self._write(sha256(pickle.dumps(thing, protocol=4)).hexdigest())


def _of_session(thing: Any) -> bool:
    """Tell whether code was written in this session: no installed package has it."""
    top = thing.__module__.partition(".")[0]
    if top == "__main__":
        return True
    if top in sys.builtin_module_names or top.startswith("rnnbench"):
        return False
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    places = {sysconfig.get_path(p) for p in ("stdlib", "platstdlib", "purelib", "platlib")}
    return file is None or not file.startswith(tuple(places))


def _global_names(code: types.CodeType) -> list[str]:
    """Return the names that a function, and those within it, may look up in its module."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= dict.fromkeys(_global_names(constant))
    return list(names)
