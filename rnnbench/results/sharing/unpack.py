"""Reads bundles, which are hostile until proven otherwise. No torch.

What is refused: names that are not on the list, links, folders, encryption, files twice, more or
larger files than announced, bombs, checksums that differ, records that are not the run they are
filed under, names and settings that could mean something to a shell, a path, a page or OmegaConf,
weights that are not plain tensors. Nothing is written before all of it has passed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

from rnnbench.results.record import Record
from rnnbench.results.run_folder import RECORD, WEIGHTS
from rnnbench.results.sharing.bundle import (
    BUNDLE_FORMAT,
    FILES,
    MANIFEST,
    MIB,
    BundleError,
)
from rnnbench.results.sharing.origin import imported
from rnnbench.results.store import Store, check_name

MOST_FILES = 100_000
MANIFEST_BYTES = 64 * MIB
MOST_BYTES = 64 * 1024 * MIB  # of all files together
CHUNK = MIB
RATIO = 200  # how far deflate takes text of ours; a bomb reaches 1,000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}", re.ASCII)
INNER = re.compile(r"runs/([A-Za-z0-9_][A-Za-z0-9._+-]{0,127})/([a-z]+\.[a-z]+)", re.ASCII)
TEXT = 100_000  # characters of one text in a record
DTYPES = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "C64"})


class Imported(NamedTuple):
    """The outcome of an import, as run ids."""

    added: tuple[str, ...]
    known: tuple[str, ...]  # already here, and left as they were
    without_weights: tuple[str, ...]


def import_bundle(path: Path, store: Store) -> Imported:
    """Check a bundle and add its runs, marked unverified; runs that are here stay as they are.

    Raises:
        BundleError: something in it must not be read; nothing was added.
        OSError: the disk refused.
    """
    with TemporaryDirectory(prefix="rnnbench-import-") as temporary:
        staged = Path(temporary)
        digest, runs = unpack(path, staged)
        added, known, bare = [], [], []
        for run_id, record in sorted(runs.items()):
            if store.read(run_id) is not None:
                known.append(run_id)
                continue
            folder = store.run_dir(run_id)
            for file in sorted((staged / run_id).iterdir()):
                if file.name != RECORD:
                    shutil.copyfile(file, folder / f".{file.name}.import.tmp")
                    (folder / f".{file.name}.import.tmp").replace(folder / file.name)
            if record.status == "done" and not (folder / WEIGHTS).exists():
                bare.append(run_id)
            imported(record, digest)
            store.write(record)
            added.append(run_id)
    return Imported(tuple(added), tuple(known), tuple(bare))


def unpack(path: Path, to: Path) -> tuple[str, dict[str, Record]]:
    """Write the checked files of a bundle to TO/RUN_ID/NAME; return its sha256 and the records.

    Raises:
        BundleError: see the module.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                files = _list_files(archive, path)
                for info, announced in files:
                    match = INNER.fullmatch(info.filename)
                    assert match is not None
                    folder = to / match[1]
                    folder.mkdir(exist_ok=True)
                    with archive.open(info) as source:
                        _copy_checked(
                            source, folder / match[2], announced, f"{path}: {info.filename}"
                        )
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise BundleError(f"{path} is no bundle: {error}") from error
    except RuntimeError as error:  # zipfile says so of encrypted files
        raise BundleError(f"{path} cannot be read: {error}") from error
    except (zlib.error, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise BundleError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a place in the file that cannot be
            raise
        raise BundleError(f"{path} is damaged: {error}") from error
    runs = {folder.name: _read_record(folder, path) for folder in sorted(to.iterdir())}
    if not runs:
        raise BundleError(f"{path} holds no run")
    for folder in to.iterdir():
        if (folder / WEIGHTS).exists():
            check_weights(folder / WEIGHTS, f"{path}: {folder.name}")
    return digest, runs


def _list_files(
    archive: zipfile.ZipFile, path: Path
) -> list[tuple[zipfile.ZipInfo, dict[str, Any]]]:
    """Return the files of an archive with what its manifest says of each; they must agree."""
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise BundleError(f"{path} holds {len(infos):,} files; up to {MOST_FILES:,} are read")
    by_name = {info.filename: info for info in infos}
    if len(by_name) != len(infos):
        raise BundleError(f"{path} holds a file twice, so that two readers could see two contents")
    about = by_name.pop(MANIFEST, None)
    if about is None:
        raise BundleError(f"{path} has no {MANIFEST}: it is no bundle of rnnbench")
    for info in infos:
        _check_entry(info, path)
    if about.file_size > MANIFEST_BYTES:
        raise BundleError(f"{path}: {MANIFEST} is larger than {MANIFEST_BYTES:,} bytes")
    manifest = _read_json(archive.read(about), f"{path}: {MANIFEST}")
    announced = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(announced, dict) or not isinstance(manifest.get("format"), int):
        raise BundleError(f"{path}: {MANIFEST} is no manifest of a bundle")
    if manifest["format"] > BUNDLE_FORMAT:
        raise BundleError(
            f"{path} was written by a newer rnnbench (bundle format {manifest['format']}, this one "
            f"reads up to {BUNDLE_FORMAT}): upgrade rnnbench"
        )
    if set(announced) != set(by_name):
        odd = sorted(set(announced) ^ set(by_name))[:3]
        raise BundleError(f"{path}: the files are not those that {MANIFEST} lists, such as {odd}")
    total = sum(info.file_size for info in by_name.values())
    if total > MOST_BYTES:
        raise BundleError(f"{path} would unpack to {total:,} bytes; up to {MOST_BYTES:,} are read")
    return [(by_name[name], announced[name]) for name in sorted(by_name)]


def _check_entry(info: zipfile.ZipInfo, path: Path) -> None:
    name, mode = info.filename, info.external_attr >> 16
    if info.filename != info.orig_filename:
        raise BundleError(f"{path}: {info.orig_filename!r} has two names")
    if name != MANIFEST:
        match = INNER.fullmatch(name)
        if match is None or match[2] not in FILES:
            raise BundleError(
                f"{path}: {name!r} is not a file that a bundle may hold (runs/RUN_ID/"
                f"{{{', '.join(FILES)}}})"
            )
        if info.file_size > FILES[match[2]]:
            raise BundleError(
                f"{path}: {name} announces {info.file_size:,} bytes; up to "
                f"{FILES[match[2]]:,} are read"
            )
    if info.is_dir() or (mode & 0o170000) not in (0, 0o100000):
        raise BundleError(f"{path}: {name!r} is not a plain file")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{path}: {name} is packed by a method that a bundle does not use")
    if info.file_size > MIB and info.file_size > RATIO * max(info.compress_size, 1):
        raise BundleError(f"{path}: {name} unpacks to {RATIO} times its size: a bomb")


def _copy_checked(source: IO[bytes], to: Path, announced: Any, what: str) -> None:
    """Copy no more than was announced, and compare the checksum."""
    if not isinstance(announced, dict) or not isinstance(announced.get("bytes"), int):
        raise BundleError(f"{what}: {MANIFEST} does not say its size")
    bytes_left, digest = min(announced["bytes"], FILES[to.name]), hashlib.sha256()
    with open(to, "xb") as target:
        while chunk := source.read(CHUNK):
            bytes_left -= len(chunk)
            if bytes_left < 0:
                raise BundleError(f"{what} is larger than {MANIFEST} says")
            digest.update(chunk)
            target.write(chunk)
    if bytes_left or digest.hexdigest() != announced.get("sha256"):
        raise BundleError(f"{what} is damaged: its size or sha256 is not what {MANIFEST} says")


def _read_record(folder: Path, path: Path) -> Record:
    """Read the record of an unpacked run, and refuse every name in it that is not harmless."""
    what = f"{path}: {folder.name}"
    if not (folder / RECORD).is_file():
        raise BundleError(f"{what} has no {RECORD}")
    content = _read_json((folder / RECORD).read_bytes(), f"{what}/{RECORD}")
    try:
        record = Record.from_dict(content, f"{what}/{RECORD}")
        run_id = record.run_id
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleError(f"{what}: {error}") from error
    spec = record.spec
    for name in (spec.task.name, spec.architecture.name, *(t.name for t in spec.tricks)):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise BundleError(f"{what}: {name!r} is no name of a plugin")
    for where, text in _all_texts(content, "record"):
        if len(text) > TEXT:
            raise BundleError(f"{what}: the text at {where} has {len(text):,} characters")
        if where.startswith("record.spec") and "${" in text:
            raise BundleError(f"{what}: {where} holds ${{, which a configuration would resolve")
    if run_id != folder.name:
        raise BundleError(f"{what} describes another run, {run_id!r}")
    try:
        for label in (record.sweep, record.study):
            if label is not None:
                check_name(label, "the sweep or study")
    except (ValueError, TypeError) as error:
        raise BundleError(f"{what}: {error}") from error
    return record


def _all_texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """List every text in a JSON value, keys among them, with its place."""
    stack = [(where, value)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, str):
            yield place, node
        elif isinstance(node, dict):
            for key, inner in node.items():
                yield place, key
                stack.append((f"{place}.{key[:40]}", inner))
        elif isinstance(node, list):
            stack.extend((place, inner) for inner in node)


def _read_json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_twice(what))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{what} is not JSON: {error}") from error


def _refuse_twice(what: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return a reader of JSON objects that refuses a key that stands twice."""

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise BundleError(f"{what} has a key twice")
        return members

    return read


def check_weights(path: Path, what: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a safetensors file, from its header alone.

    Raises:
        BundleError: it is damaged, or holds something else than plain tensors.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, 64 * MIB):
            raise BundleError(f"{what}: the weights are damaged: a header of {length:,} bytes")
        header = _read_json(file.read(length), f"{what}: header of the weights")
    if not isinstance(header, dict):
        raise BundleError(f"{what}: the weights have no header")
    header.pop("__metadata__", None)
    shapes = {}
    for name, entry in header.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if (
            not isinstance(shape, list)
            or not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)
            or entry.get("dtype") not in DTYPES
        ):
            raise BundleError(f"{what}: weight {name[:80]!r} is no plain tensor")
        shapes[name] = tuple(shape)
    return shapes
