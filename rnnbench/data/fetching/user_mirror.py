"""Files and archives that lie in the user's folders already, under other names or wrapped.

A mirror may hold a source as it was published (`conll2000.zip` in any folder of it), its files
without the folders of their archive, or each of them gzipped. No torch here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rnnbench.data.fetching import archives, cached_folders
from rnnbench.data.fetching.cached_folders import Say, roots
from rnnbench.errors import DataError

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = ["bring"]


def bring(source: Source, to: Path, say: Say) -> bool:
    """Put a source's files into the empty folder `to`, if they can be had without a connection.

    What is found and has another checksum is said and passed over.
    """
    return _from_archive(source, to, say) or _from_files(source, to, say)


def _from_archive(source: Source, to: Path, say: Say) -> bool:
    name = source.origin.rpartition("/")[2]
    if not (source.sha256 and archives.is_archive(name)):
        return False
    for root in roots().values():
        for path in (root / name, *sorted(root.glob(f"*/{name}"))):
            if not path.is_file():
                continue
            sha256 = cached_folders.sha256_of(path)
            if sha256 != source.sha256:
                say(
                    f"{source.name}: passing over {path}: sha256 is {sha256[:12]}…, expected "
                    f"{source.sha256[:12]}…"
                )
                continue
            say(f"{source.name}: unpacking {path}")
            archives.unpack(path, source.files, to)
            return True
    return False


def _from_files(source: Source, to: Path, say: Say) -> bool:
    if not all(source.files.values()):
        return False
    for folder in _likely_folders(source.name):
        places = {f: _find_file(folder, f, sha256) for f, sha256 in source.files.items()}
        if not all(places.values()):
            continue
        say(f"{source.name}: taking its files from {folder}")
        for name, place in places.items():
            assert place is not None
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            if place.name == PurePosixPath(name).name:
                shutil.copyfile(place, to / name)
            else:
                archives.unpack(place, [name], to)
        return True
    return False


def _likely_folders(name: str) -> Iterator[Path]:
    """Yield the folder of this name in each root, then the others.

    One of these may hold several sources.
    """
    for root in roots().values():
        yield root / name
        if root.is_dir():
            yield from sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".")


def _find_file(folder: Path, name: str, sha256: str) -> Path | None:
    """Find a file as it is named, without its folders, or either gzipped; else None."""
    short = PurePosixPath(name).name
    for path in (folder / name, folder / short):
        try:
            if path.is_file() and cached_folders.checksum(path, sha256) == sha256:
                return path
            packed = path.with_name(path.name + ".gz")
            content_sha256 = sha256.removeprefix(cached_folders.UNZIPPED)
            if packed.is_file() and cached_folders.checksum(packed, cached_folders.UNZIPPED) == (
                cached_folders.UNZIPPED + content_sha256
            ):
                return packed
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from error
    return None
