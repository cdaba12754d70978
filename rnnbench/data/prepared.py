"""Prepared forms: token arrays, vocabularies and pairs that are made once and shared.

A prepared form lies in `<root>/prepared/<hash>`, where the hash covers the sources' checksums,
the task's version, the settings that shape it and PREPARATION. Several processes may read it at
once: arrays are memory-mapped. No torch here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from rnnbench.data.fetching import cached_folders
from rnnbench.data.fetching.cached_folders import Say
from rnnbench.data.fetching.sources import data_version, fetch, to_stderr

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = ["PREPARATION", "Streamed", "load", "prepare", "save"]

PREPARATION = 1  # raise it when rnnbench.data comes to prepare the same sources differently

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Streamed:
    """An array of one axis that is written as it is made, so that it may be larger than memory.

    Attributes:
        chunks: gives its parts in order, each an array of one axis.
    """

    dtype: Any
    chunks: Callable[[], Iterator[np.ndarray]]


def prepare(
    name: str,
    sources: Sequence[Source],
    version: int,
    settings: Mapping[str, Any],
    make: Callable[..., Content],
    on_progress: Say | None = None,
) -> dict[str, Any]:
    """Return the prepared form of some sources; it is made at the first call and read later.

    Args:
        name: of the task, for messages.
        version: of the task.
        settings: those that `make` depends on, as JSON can write them.
        make: called with the folder of each source, returns arrays (or `Streamed` ones) and JSON
            values by name. It must depend on nothing else than these folders and `settings`.
    Returns:
        What `make` returned: arrays memory-mapped (a write stays in this process), the rest as
        JSON gives it back.
    Raises:
        DataError: a source cannot be had, or the disk is full.
    """
    about = {
        "task": name,
        "data": data_version(sources, version),
        "preparation": str(PREPARATION),
        "settings": json.dumps(dict(settings), sort_keys=True),
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    ready = _find_whole(key, about)
    if ready is None:
        say = on_progress or to_stderr
        target = cached_folders.folder() / "prepared" / key
        with cached_folders.locked(target, say):
            ready = _find_whole(key, about)  # another process may have made it meanwhile
            if ready is None:
                folders = [fetch(source, on_progress) for source in sources]
                why = "again: what was kept is damaged" if target.exists() else "once"
                say(f"{name}: preparing the data ({why})")
                cached_folders.publish(target, about, lambda to: save(to, make(*folders)), say)
                ready = target
    return load(ready)


def _find_whole(key: str, about: dict[str, str]) -> Path | None:
    """Return the folder of a whole prepared form; None where there is none, or a damaged one."""
    for root in cached_folders.roots().values():
        path = root / "prepared" / key
        if (
            cached_folders.read_manifest(path) == about
            and not cached_folders.look(path, thorough=False).problems
        ):
            return path
    return None


def save(folder: Path, content: Content) -> None:
    """Write arrays as .npy and everything else into values.json."""
    values = {}
    for name, value in content.items():
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.npy", value, allow_pickle=False)
        elif isinstance(value, Streamed):
            _write_streamed(folder / f"{name}.streamed.npy", value)
        else:
            values[name] = value
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    (folder / "values.json").write_text(text, "utf-8")


def _write_streamed(path: Path, array: Streamed) -> None:
    """Write the parts one after the other, and how many there were into the header at last."""
    with path.open("wb") as f:
        count = 0
        begin = _write_header(f, array, count)
        for chunk in array.chunks():
            f.write(np.ascontiguousarray(chunk, array.dtype).data)
            count += len(chunk)
        f.seek(0)
        if _write_header(f, array, count) != begin:
            raise RuntimeError(f"{path}: numpy left no room in the header for {count} elements")


def _write_header(f: BinaryIO, array: Streamed, count: int) -> int:
    """Write the header of a .npy file; where it ends."""
    descr = np.lib.format.dtype_to_descr(np.dtype(array.dtype))
    facts = {"descr": descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(f, facts)
    return f.tell()


def load(folder: Path) -> dict[str, Any]:
    """Read what `save` wrote, its arrays mapped.

    Copy-on-write, so that torch may wrap them; but streamed ones read-only, since a system may
    refuse a mapping that could come to take more memory than it has.
    """
    content: dict[str, Any] = json.loads((folder / "values.json").read_text("utf-8"))
    for path in folder.glob("*.npy"):
        name, _, streamed = path.stem.partition(".")
        mode: Literal["r", "c"] = "r" if streamed else "c"
        content[name] = np.load(path, mmap_mode=mode, allow_pickle=False)
    return content
