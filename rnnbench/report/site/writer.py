"""Writes the site as files."""

from __future__ import annotations

import json
from pathlib import Path

from rnnbench.errors import UserError
from rnnbench.files.atomic import replace_file
from rnnbench.report.site.gather import Gathered
from rnnbench.report.site.pages import Site

LIST = ".rnnbench-site.json"  # the files that this module wrote, so that it removes no others


class SiteError(UserError, ValueError):
    """A place where the site cannot be written; the message says what to do."""


def write_site(gathered: Gathered, folder: Path, *, command: str = "") -> list[Path]:
    """Write a site that opens from a disk, without a network, and remove what an older one had.

    Returns:
        The files that were written.
    Raises:
        SiteError: the folder holds something else.
        OSError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise SiteError(f"{folder} is a file; give a folder, or a new name that ends in .html")
    listed = folder / LIST
    if folder.exists() and any(folder.iterdir()) and not listed.is_file():
        raise SiteError(
            f"{folder} holds something else, and a site would mix with it.\n"
            "  Give a folder that is empty, or not there yet."
        )
    site = Site(gathered, command=command)
    old = set(json.loads(listed.read_text("utf-8"))) if listed.is_file() else set()
    folder.mkdir(parents=True, exist_ok=True)
    # What is about to be written is listed first, so that it is removed even after a kill.
    replace_file(listed, json.dumps(sorted(old | set(site.paths))))
    for path in site.paths:
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        _write_if_changed(target, site.render(path))
    for path in sorted(old - set(site.paths)):
        target = (folder / path).resolve()
        if target.is_relative_to(folder.resolve()):
            target.unlink(missing_ok=True)
    replace_file(listed, json.dumps(site.paths))
    return [folder / path for path in site.paths]


def _write_if_changed(path: Path, content: str) -> None:
    """Write a file only where it has changed, so that copying a site again copies little."""
    data = content.encode("utf-8", "replace")
    if not path.is_file() or path.read_bytes() != data:
        replace_file(path, data)
