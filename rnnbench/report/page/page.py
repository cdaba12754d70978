"""Renders boards as one HTML page that needs nothing else: no network, no file beside it.

Names of plugins and reasons of failures are others' text: the template escapes them, and the
page's content security policy runs its own script and style only, by their hashes.

Nothing is computed here: a row's mean and interval come from `leaderboard.row.make_row`, which asks
`stats.intervals.estimate`; `wording.interval` writes them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rnnbench.files.atomic import replace_file
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board
from rnnbench.report import sentences, wording
from rnnbench.report.page import data_pictures, figures
from rnnbench.results.provenance import redact

REFUSED_FIELDS = {"task", "architecture", "tricks", "reason"}


def write_page(
    boards: Sequence[Board],
    path: Path,
    title: str = "Leaderboard",
    *,
    refused: Sequence[Mapping[str, Any]] = (),
    command: str = "",
    made: datetime | None = None,
    taken: str = "",
    taken_by_cell: Sequence[tuple[str, Mapping[str, float]]] = (),
) -> None:
    """Write `render_page` to a file, whole or not at all.

    Raises:
        OSError: the file could not be written; what was there is unchanged.
    """
    page = render_page(
        boards, title, refused=refused, command=command, made=made, taken=taken,
        taken_by_cell=taken_by_cell,
    )  # fmt: skip
    replace_file(path, page)


def render_page(
    boards: Sequence[Board],
    title: str = "Leaderboard",
    *,
    refused: Sequence[Mapping[str, Any]] = (),
    command: str = "",
    made: datetime | None = None,
    taken: str = "",
    taken_by_cell: Sequence[tuple[str, Mapping[str, float]]] = (),
) -> str:
    """Return the page as text.

    Args:
        refused: combinations that were not run, each with task, architecture, tricks (text, or
            names in order) and reason.
        command: how the page was made; it is redacted.
        made: when, by default now.
        taken: what a sweep took in all, in words; "": nothing is known of it.
        taken_by_cell: what each cell of it took, by the headings of the columns.
    Raises:
        ValueError: a refused combination lacks a field or has an unknown one.
    """
    for combination in refused:
        if set(combination) != REFUSED_FIELDS:
            raise ValueError(
                f"a refused combination has the fields {sorted(REFUSED_FIELDS)}, "
                f"got {sorted(combination)}"
            )
    style, script = asset("page.css"), asset("page.js")
    page = environment().get_template("page.html.j2")
    return page.render(
        title=title,
        boards=boards,
        attributions=[attribute(board, refused) for board in boards],
        refused=[{**r, "tricks": _join_tricks(r["tricks"])} for r in refused],
        command=redact(command),
        taken=taken,
        taken_by_cell=list(taken_by_cell),
        made=(made or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup(style),
        script=Markup(script),
        policy="; ".join(
            (
                "default-src 'none'",
                f"style-src '{content_hash(style)}'",
                f"script-src '{content_hash(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
    )


@cache
def environment() -> Environment:
    """Return the environment of all templates: what they show is escaped, and must be there."""
    templates = Environment(
        loader=PackageLoader("rnnbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible_value,
    )
    templates.globals.update(
        wording=wording, figures=figures, sentences=sentences, data_pictures=data_pictures
    )
    return templates


def _visible_value(value: Any) -> Any:
    """Return what a template's expression shows: others' text without invisible characters."""
    if value is None:
        raise TypeError("the template shows a value that is missing")
    plain_text = isinstance(value, str) and not isinstance(value, Markup)
    return wording.visible(value) if plain_text else value


def _join_tricks(tricks: Any) -> str:
    return tricks if isinstance(tricks, str) else " + ".join(tricks)


@cache
def asset(name: str) -> str:
    """Return the text of a style sheet or a script of the pages."""
    return files("rnnbench.report").joinpath("templates", *name.split("/")).read_text("utf-8")


def content_hash(text: str) -> str:
    """Return how a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
