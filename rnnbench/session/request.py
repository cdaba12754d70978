"""Makes a spec of what is said in Python: plugins by name, as mappings or as objects; settings."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import SpecError
from rnnbench.registry.given_classes import note_given
from rnnbench.registry.registry import did_you_mean, discover, load, schema
from rnnbench.registry.schema import KINDS
from rnnbench.session.answers import is_table, table_as_text
from rnnbench.session.place import results_place
from rnnbench.session.ranges import refuse_no_mapping
from rnnbench.spec.compose import compose
from rnnbench.spec.fill import field_names, fill
from rnnbench.spec.plugin_text import split_plugin
from rnnbench.spec.run_spec import Budget, Optimizer, RunSpec, Trainer

if TYPE_CHECKING:
    from rnnbench.contract import Architecture, Task, Trick

Named = str | Mapping[str, Any] | tuple[str, Mapping[str, Any]]
"""A plugin: "zoneout:rate=0.1", {"name": "zoneout", "rate": 0.1} or ("zoneout", {"rate": 0.1})."""

SECTIONS: dict[str, Any] = {"optimizer": Optimizer, "budget": Budget, "trainer": Trainer}


def make_request(
    task: Named | Task | type[Task],
    architecture: Named | Architecture | type[Architecture],
    tricks: Named | Trick | type[Trick] | Sequence[Any] = (),
    *,
    seed: int = 0,
    test: bool = True,
    settings: Mapping[str, Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    caller: str = "rb.run",
) -> tuple[RunSpec, Trainer]:
    """Check a run that is described in Python.

    Args:
        settings: by dotted name, as on the command line: {"architecture.hidden": 32}.
        keywords: by the name of a field alone where one part of the run has it ("hidden"), or
            whole sections: {"budget": {"steps": 100}}.
        out: folder or address of results, in which tables are kept that are given as DataFrames.
        caller: what messages call the place.

    Returns:
        The spec without its data version, and the trainer's settings.

    Raises:
        SpecError, PluginError: naming what cannot be.
    """
    read = [
        ("task", *read_plugin("tasks", task)),
        ("architecture", *read_plugin("architectures", architecture)),
        *((f"tricks.{name}", name, own) for name, own in map(_read_trick, _listed(tricks))),
    ]
    plugins = [(s, name, {k: keep_table(v, out) for k, v in own.items()}) for s, name, own in read]
    fields = {
        section: list(schema(_kind_of(section), name).fields) for section, name, _ in plugins
    } | {section: field_names(cls) for section, cls in SECTIONS.items()}
    values: dict[str, Any] = {}
    refuse_no_mapping("settings", settings)
    for dotted, value in _dotted(settings or {}, keywords or {}, fields, caller):
        if dotted in values:
            raise SpecError(f"{caller}: {dotted} is given twice; keep one")
        values[dotted] = keep_table(_plain(value), out)
    places = dict.fromkeys([*values, "task", "architecture", "tricks"], caller)
    trainer = {
        k.removeprefix("trainer."): values.pop(k) for k in list(values) if k.startswith("trainer.")
    }
    task_entry, architecture_entry, *trick_entries = (
        {"name": name, **own} for _, name, own in plugins
    )
    spec = compose(
        task_entry,
        architecture_entry,
        trick_entries,
        values,
        seed=_plain(seed),
        test=test,
        places=places,
    )
    return spec, fill(Trainer, trainer, "trainer", places)


def keep_table(value: Any, out: Path | str | None) -> Any:
    """Write a DataFrame as a file of the results, and return its path; all else stays as it is.

    The file is named by its content, so the same table is the same file.
    """
    if not is_table(value):
        return value
    from rnnbench.files.atomic import replace_file
    from rnnbench.results.store import folder_of

    text = table_as_text(value).encode()
    folder = folder_of(results_place(out)) / "tables"
    file = folder / f"table-{hashlib.sha256(text).hexdigest()[:12]}.csv"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(file, text)
    return str(file)


def _kind_of(section: str) -> str:
    return "tricks" if section.startswith("tricks.") else f"{section}s"


def _listed(tricks: Any) -> list[Any]:
    """Return tricks as a list; one alone is a list of one."""
    one = isinstance(tricks, (str, Mapping, type)) or hasattr(tricks, "__dataclass_fields__")
    pair = isinstance(tricks, tuple) and len(tricks) == 2 and isinstance(tricks[1], Mapping)
    if one or (pair and "name" not in tricks[1]):
        return [tricks]
    if not isinstance(tricks, Sequence):
        raise SpecError(f"tricks: a list such as ['clip', 'zoneout:rate=0.1'], got {tricks!r}")
    return list(tricks)


def _read_trick(trick: Any) -> tuple[str, dict[str, Any]]:
    return read_plugin("tricks", trick)


def read_plugin(kind: str, plugin: Any) -> tuple[str, dict[str, Any]]:
    """Return the name of a plugin and the settings that are given with it.

    An object of an installed plugin's class stands for that plugin; that of any other class is
    made known to this process, under a name of its own.
    """
    singular = kind[:-1]
    if isinstance(plugin, tuple) and len(plugin) == 2 and isinstance(plugin[1], Mapping):
        return str(plugin[0]), {k: _plain(v) for k, v in plugin[1].items()}
    if isinstance(plugin, (str, Mapping)):
        try:
            name, own = split_plugin(plugin)
        except SpecError as error:
            raise SpecError(f"{singular}: {error}") from error
        return name, {k: v if isinstance(v, str) else _plain(v) for k, v in own.items()}
    cls: Any = plugin if isinstance(plugin, type) else type(plugin)
    if not _is_plugin(kind, cls):
        article = "an" if singular[0] == "a" else "a"
        raise SpecError(
            f"{singular}: a name such as those of rb.list({kind!r}), a mapping with 'name', or "
            f"{article} {singular} as an object (a subclass of "
            f"rnnbench.contract.{singular.capitalize()}); got {plugin!r:.80}"
        )
    name = cls.name if _is_installed(kind, cls) else note_given(kind, cls)
    if isinstance(plugin, type):
        return name, {}
    return name, {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)}


def _is_plugin(kind: str, cls: Any) -> bool:
    from rnnbench.contract import Architecture, Task, Trick

    base = dict(zip(KINDS, (Architecture, Task, Trick), strict=True))[kind]
    return issubclass(cls, base) and hasattr(cls, "name")


def _is_installed(kind: str, cls: Any) -> bool:
    """Tell whether a class is that of an installed plugin, and no other of the same name."""
    return cls.name in discover()[0][kind] and load(kind, cls.name) is cls


def _dotted(
    settings: Mapping[str, Any],
    keywords: Mapping[str, Any],
    fields: Mapping[str, Sequence[str]],
    caller: str,
) -> list[tuple[str, Any]]:
    """Return all settings by dotted name."""
    found = [(_logger(name), value) for name, value in settings.items()]
    for name, value in keywords.items():
        if name in SECTIONS:
            if not isinstance(value, Mapping):
                raise SpecError(
                    f"{caller}: {name} is a mapping of settings, such as "
                    f"{name}={{'{fields[name][0]}': ...}}, got {value!r}"
                )
            found += [(f"{name}.{field}", v) for field, v in value.items()]
        elif "." in name:
            found.append((name, value))
        elif name == "logger":
            found.append((_logger(name), value))
        else:
            found.append((f"{_section_of(name, value, fields, caller)}.{name}", value))
    return found


def _logger(name: str) -> str:
    return "trainer.logger" if name == "logger" else name


def _section_of(name: str, value: Any, fields: Mapping[str, Sequence[str]], caller: str) -> str:
    """Return the one part of the run that has a field."""
    sections = [section for section, known in fields.items() if name in known]
    if len(sections) == 1:
        return sections[0]
    if sections:
        choices = " or ".join(
            f"{s}={{{name!r}: {value!r}}}" if s in SECTIONS else
            f"settings={{'{s}.{name}': {value!r}}}"
            for s in sections
        )  # fmt: skip
        raise SpecError(
            f"{caller}: {name} is a field of {' and of '.join(sections)}; write {choices}"
        )
    known = {field: section for section, names in fields.items() for field in names}
    listed = "".join(
        f"\n  {section}: {', '.join(names) or 'no fields'}" for section, names in fields.items()
    )
    raise SpecError(
        f"{caller}: no part of this run has a field {name!r}{did_you_mean(name, known)}{listed}"
    )


def _plain(value: Any) -> Any:
    """Return numbers of numpy as Python's own, paths as text, and lists for arrays."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    return value
