"""Says of rows which plugins declare a reason to a law, and of others' whether laws were held."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.types import Board
from rnnbench.registry.given_classes import SESSION
from rnnbench.registry.held_laws import OWN
from rnnbench.registry.schema import Entry
from rnnbench.results.record import Record

Verdicts = Mapping[str, Mapping[str, Any]]  # see `rnnbench.registry.held_laws`


def mark_third_parties(
    boards: Iterable[Board],
    records: Iterable[Record],
    installed: Mapping[str, Mapping[str, Entry]],
    verdicts: Verdicts,
) -> list[Board]:
    """Return the boards, with a mark on each row and a note on each task of a third party.

    Args:
        records: those that the boards were made of.
        verdicts: what was noted on this machine.
    """
    by_id = {record.run_id: record for record in records}
    marked = []
    for board in boards:
        rows, notes = [], board.notes
        of_board: list[Record] = []
        for row in board.rows:
            runs = [by_id[run_id] for run_id in row.run_ids if run_id in by_id]
            of_board += runs
            parts = [("architectures", row.architecture)] if row.architecture else []
            parts += [("tricks", name) for name in row.tricks]
            said = [s for kind, name in parts for s in _say(kind, name, runs, installed, verdicts)]
            said += [s for kind, name in parts for s in _declared(kind, name, runs)]
            rows.append(dataclasses.replace(row, marks=row.marks + tuple(said)))
        for text in _say("tasks", board.task, of_board, installed, verdicts):
            notes += (f"The task {text}.",)
        notes += tuple(f"The task {text}." for text in _declared("tasks", board.task, of_board))
        marked.append(dataclasses.replace(board, rows=tuple(rows), notes=notes))
    return marked


def _declared(kind: str, name: str, runs: Iterable[Record]) -> list[str]:
    """Return what a plugin of the runs gives as its reasons where a law would find fault."""
    said = {
        f"{name} declares, of the law {law.replace('_', ' ')!r}: {why}": None
        for run in runs
        for law, why in run.provenance.get("declared", {}).get(f"{kind}/{name}", {}).items()
    }
    return list(said)


def _say(
    kind: str, name: str, runs: Sequence[Record], installed: Mapping[str, Mapping[str, Entry]],
    verdicts: Verdicts,
) -> list[str]:  # fmt: skip
    """Say of a plugin of each version that the runs had whether it was held to its laws."""
    said: dict[str, None] = {}
    for run in runs:
        about = _of_run(kind, name, run, installed)
        if about is None:
            continue
        known = [about.get("laws"), verdicts.get(f"{about['distribution']}/{kind}/{name}")]
        said[_say_verdict(name, about, [v for v in known if v])] = None
    return list(said)


def _of_run(
    kind: str, name: str, run: Record, installed: Mapping[str, Mapping[str, Entry]]
) -> dict[str, Any] | None:
    """Return distribution, version and code of a plugin in a run; None of rnnbench's own."""
    noted = run.provenance.get("third_parties", {}).get(f"{kind}/{name}")
    if noted is not None:
        return dict(noted)
    entry = installed[kind].get(name)  # a record of before this was noted
    if entry is None or entry.distribution == OWN:
        return None
    there = run.provenance.get("distributions", {}).get(entry.distribution, {})
    return {"distribution": entry.distribution, "version": there.get("version"), "code": ""}


def _say_verdict(name: str, about: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> str:
    """Say what is known of the laws of a plugin, of this code best of all."""
    if about["distribution"] == SESSION:
        return f"{name} was defined in {SESSION}: its code has no version and is kept nowhere"
    of = f"{name} of {about['distribution']} {about['version'] or '(version not known)'}"
    here = [v for v in known if about["code"] and v["code"] == about["code"]]
    if here:
        verdict = here[-1]
        if verdict["broken"]:
            return f"{of} breaks its laws ({', '.join(verdict['broken'])})"
        suspect = verdict.get("suspect", ())
        doubt = f", {len(suspect)} suspect ({', '.join(suspect)})" if suspect else ""
        return f"{of} was held to its laws at this version: {verdict['held']} held, none broken" + (
            doubt
        )
    advice = f" (rnnbench check-plugin {name})"
    if not known:
        return f"{of} was not held to its laws{advice}"
    was, version = known[-1], about["version"]
    changed = "other code of this version" if was["version"] == version else f"at {was['version']}"
    outcome = f"broke {', '.join(was['broken'])}" if was["broken"] else "was held to its laws"
    return f"{of} {outcome} {changed}, not as it ran here{advice}"
