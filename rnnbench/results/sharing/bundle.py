"""Writes bundles: runs in one ZIP file, to look at, to import and to verify. No torch.

    bundle.json                      format, who wrote it, sizes and sha256 of all files
    runs/RUN_ID/record.json          the record, with the whole spec
    runs/RUN_ID/weights.safetensors  the best weights, where the run left any
    runs/RUN_ID/...                  the other files named in `FILES`

Nothing in it is executed by reading it: JSON, CSV, text, and tensors without code.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench import __version__
from rnnbench.errors import UserError
from rnnbench.results.find_run import find_run
from rnnbench.results.provenance import redact
from rnnbench.results.record import Record
from rnnbench.results.run_folder import (
    ERROR,
    EXAMPLES,
    ITEM_SCORES,
    LOG,
    METRICS,
    RECORD,
    WEIGHTS,
)
from rnnbench.results.sharing.origin import now
from rnnbench.results.store import Store

BUNDLE_FORMAT = 1
MANIFEST = "bundle.json"
MIB = 2**20

FILES = {
    RECORD: 16 * MIB,
    WEIGHTS: 4096 * MIB,
    METRICS: 64 * MIB,
    LOG: 16 * MIB,
    ERROR: 16 * MIB,
    EXAMPLES: MIB,
    ITEM_SCORES: 64 * MIB,
}
"""What a bundle may hold of a run, and how large each may be in bytes."""

REDACTED = {LOG, ERROR}  # records pass the filter when they are made


class BundleError(UserError, ValueError):
    """A bundle that cannot be written or must not be read; the message says why."""


class Written(NamedTuple):
    """The outcome of `write_bundle`."""

    path: Path
    runs: int
    bytes: int
    without_weights: tuple[str, ...]


def write_bundle(
    store: Store, records: Sequence[Record], path: Path, *, weights: bool = True
) -> Written:
    """Write runs to one file, whole or not at all.

    Args:
        weights: False leaves them out: then the bundle is small, and can be verified by training
            only.

    Raises:
        BundleError: nothing to write, or a file larger than a reader would take.
        OSError: the file could not be written; what was there is unchanged.
    """
    if not records:
        raise BundleError("no run to export; see rnnbench leaderboard")
    files: dict[str, dict[str, Any]] = {}
    bare: list[str] = []
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED) as archive:
            for record in records:
                names = [n for n in FILES if weights or n != WEIGHTS]
                folder = store.fetch(record.run_id, names)
                for name in names:
                    content = _read_content(folder / name)
                    if content is not None:
                        inner = f"runs/{record.run_id}/{name}"
                        archive.writestr(_zip_entry(inner, name), content)
                        files[inner] = _describe(content)
                    elif name == WEIGHTS:
                        bare.append(record.run_id)
            about = {
                "format": BUNDLE_FORMAT, "made": now(), "rnnbench": __version__, "files": files,
            }  # fmt: skip
            archive.writestr(_zip_entry(MANIFEST, MANIFEST), json.dumps(about, indent=1) + "\n")
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        size = temporary.stat().st_size
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path, len(records), size, tuple(bare))


def _read_content(path: Path) -> bytes | None:
    """Return a file's content as a bundle may have it; None where there is no plain file."""
    if not path.is_file() or path.is_symlink():
        return None
    content = path.read_bytes()
    if len(content) > FILES[path.name]:
        raise BundleError(
            f"{path} has {len(content):,} bytes, and a bundle's reader takes up to "
            f"{FILES[path.name]:,}: export with --no-weights, or send the folder by other means"
        )
    if path.name in REDACTED:
        return redact(content.decode("utf-8", "replace")).encode()
    return content


def _zip_entry(inner: str, name: str) -> zipfile.ZipInfo:
    """Return an entry without time and owner, so that equal runs make equal bundles."""
    info = zipfile.ZipInfo(inner)
    info.external_attr = 0o100644 << 16
    # Weights are noise to a compressor.
    info.compress_type = zipfile.ZIP_STORED if name == WEIGHTS else zipfile.ZIP_DEFLATED
    return info


def _describe(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def chosen_runs(store: Store, ids: Iterable[str], task: str | None) -> list[Record]:
    """Return records by id (or the beginning of one), or all of a task, each once."""
    records = {r.run_id: r for r in (find_run(store, run) for run in ids)}
    if task is not None:
        records |= {r.run_id: r for r in store.records(task=task)}
    return list(records.values())
