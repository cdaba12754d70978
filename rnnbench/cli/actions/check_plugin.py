"""`rnnbench check-plugin`: a plugin against the laws of its kind, as a table or JSON."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rnnbench.errors import PluginError
from rnnbench.registry.held_laws import OWN, note_verdict
from rnnbench.registry.registry import did_you_mean, discover, load
from rnnbench.registry.schema import KINDS, Entry

if TYPE_CHECKING:
    from rnnbench.testing import Verdict

WIDTH = 80
OUTCOMES = ("held", "broken", "does not apply")


def check_plugin(name: str, as_json: bool) -> int:
    """Hold every plugin of this name against its laws; print the verdicts.

    Returns:
        0, or 1 where a law is broken.

    Raises:
        PluginError: there is none, it cannot be imported, or it has no small instance.
    """
    plugins, _ = discover()
    plugins_found = [plugins[kind][name] for kind in KINDS if name in plugins[kind]]
    if not plugins_found:
        everything = [n for kind in KINDS for n in plugins[kind]]
        raise PluginError(
            f"there is no plugin {name!r}{did_you_mean(name, everything)}\n  See: rnnbench list"
        )
    reports = []
    for item in plugins_found:
        if not as_json:
            print(f"{item.kind[:-1]} {item.name} of {item.distribution} {item.version}")
        reports.append(_judge(item, as_json))
    if as_json:
        print(json.dumps(reports, indent=2))
    return int(any(report["broken"] for report in reports))


def _judge(item: Entry, quiet: bool) -> dict[str, Any]:
    """Judge one plugin, saying each verdict as it falls."""
    from rnnbench.testing import ArchitectureLaws, TaskLaws, TrickLaws
    from rnnbench.testing.law import tiny

    began = time.perf_counter()
    cls = load(item.kind, item.name)
    try:
        plugin = tiny(cls)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{item.name} has no small instance to hold laws on: {error}\n"
            "  Give every field a default, or set `tiny` in the class: ClassVar[...] = {...}"
        ) from error
    if item.kind == "tasks":
        from rnnbench.testing.fixtures.other_process import fetched

        fetched(plugin)  # what cannot be had is no fault of the plugin's
    laws = {"architectures": ArchitectureLaws, "tasks": TaskLaws, "tricks": TrickLaws}
    verdicts = []
    if not quiet:
        print(f"held as {plugin}\n")
    for verdict in laws[item.kind].laws.judge(plugin):
        verdicts.append(verdict)
        if not quiet:
            print("\n".join(lines(verdict)), flush=True)
    seconds = time.perf_counter() - began
    report = _make_report(item, str(plugin), verdicts, seconds)
    if not quiet:
        print(f"\n{summary(report)}")
    if item.distribution != OWN:
        _note(item, report)
    return report


def _note(item: Entry, report: dict[str, Any]) -> None:
    """Keep the verdict, so that boards can tell it."""
    broken = [law["name"].replace("_", " ") for law in report["laws"] if law["outcome"] == "broken"]
    try:
        note_verdict(item, report["held"], broken)
    except OSError as error:
        print(f"rnnbench: boards will not know of this verdict: {error}", file=sys.stderr)


def lines(verdict: Verdict) -> list[str]:
    """Return a verdict in lines of 80 columns: what is broken, its example, and how to mend it."""
    head = f"{verdict.outcome:<16}{verdict.law.name.replace('_', ' ')}"
    if verdict.outcome == "broken":
        text_lines = [head, *_wrap(verdict.law.statement, " " * 4)]
        for line in verdict.example.splitlines():
            text_lines += _wrap(line.strip(), " " * 8)
        return [*text_lines, *_wrap(f"To mend: {verdict.law.mend}", " " * 4)]
    return [head, *_wrap(" ".join(verdict.example.split()), " " * 18)]


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent,
                         break_on_hyphens=False)  # fmt: skip


def summary(report: dict[str, Any]) -> str:
    """Return "15 laws held, 0 broken, 2 do not apply (1.2 s)"."""
    held, broken, other = (report[k] for k in ("held", "broken", "does_not_apply"))
    verb = "does" if other == 1 else "do"
    return (
        f"{held} laws held, {broken} broken, {other} {verb} not apply ({report['seconds']:.1f} s)"
    )


def _make_report(
    item: Entry, plugin: str, verdicts: Iterable[Verdict], seconds: float
) -> dict[str, Any]:
    laws = [
        {
            "name": v.law.name,
            "statement": v.law.statement,
            "outcome": v.outcome,
            "example": v.example,
            "mend": v.law.mend if v.outcome == "broken" else "",
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]
    counts = {o: sum(t["outcome"] == o for t in laws) for o in OUTCOMES}
    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "held_as": plugin,
        "laws": laws,
        "held": counts["held"],
        "broken": counts["broken"],
        "does_not_apply": counts["does not apply"],
        "seconds": round(seconds, 2),
    }
