"""`rnnbench check-plugin`: a plugin against the laws of its kind, as a table or JSON."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from rnnbench.errors import PluginError
from rnnbench.registry.held_laws import OWN, note_verdict
from rnnbench.registry.registry import did_you_mean, discover, load
from rnnbench.registry.schema import KINDS, Entry

if TYPE_CHECKING:
    from rnnbench.testing import Verdict

WIDTH = 80


def check_plugin(name: str, as_json: bool, junit: Path | None = None) -> int:
    """Hold every plugin of this name, or distribution, against its laws; print the verdicts.

    Args:
        junit: file for the verdicts in the form that CI systems show as tests.

    Returns:
        0, or 1 where a law is broken, or a plugin of the distribution cannot be tried.

    Raises:
        PluginError: there is none; or it is one plugin that cannot be imported, or has no small
            instance.
    """
    chosen, unusable = _choose(name)
    reports = []
    for item in chosen:
        if not as_json:
            print(f"{item.kind[:-1]} {item.name} of {item.distribution} {item.version}")
        try:
            reports.append(_judge(item, as_json))
        except PluginError as error:
            if len(chosen) == 1:
                raise
            unusable.append((f"{item.kind[:-1]} {item.name}", str(error)))
        if not as_json and len(chosen) > 1:
            print()
    for words, reason in unusable:
        print(f"{words} cannot be tried: {reason}", file=sys.stderr)
    if as_json:
        print(json.dumps(reports, indent=2))
    elif len(chosen) > 1:
        broken = [r for r in reports if r["broken"]]
        names = ": " + ", ".join(r["name"] for r in broken) if broken else ""
        print(f"{len(chosen)} plugins, {len(broken)} with a broken law{names}")
    if junit is not None:
        write_junit(junit, reports, unusable)
    return int(bool(unusable) or any(report["broken"] for report in reports))


def _choose(name: str) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the plugins of this name, or of this distribution, and which of these are broken.

    Raises:
        PluginError: there is none.
    """
    plugins, broken = discover()
    chosen = [plugins[kind][name] for kind in KINDS if name in plugins[kind]]
    if chosen:
        return chosen, []
    every = [e for kind in KINDS for e in plugins[kind].values()]
    wanted = canonical(name)
    chosen = [e for e in every if canonical(e.distribution) == wanted]
    unusable = [
        (f"{b.kind[:-1]} {b.name}", b.reason) for b in broken if canonical(b.distribution) == wanted
    ]
    if chosen or unusable:
        return chosen, unusable
    known = [e.name for e in every] + sorted({e.distribution for e in every})
    raise PluginError(
        f"there is no plugin or distribution {name!r}{did_you_mean(name, known)}\n"
        "  See: rnnbench list"
    )


def canonical(distribution: str) -> str:
    """Return the name of a distribution as indexes compare them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def write_junit(
    path: Path, reports: Iterable[dict[str, Any]], unusable: Iterable[tuple[str, str]]
) -> None:
    """Write verdicts as JUnit's XML: a suite a plugin, a test a law.

    Source of the form: the schema of Jenkins's xUnit plugin, which GitHub and GitLab read too.
    """
    suites = ElementTree.Element("testsuites", name="rnnbench check-plugin")
    for report in reports:
        name = f"{report['kind'][:-1]} {report['name']}"
        counts = {
            "tests": len(report["laws"]),
            "failures": report["broken"],
            "skipped": report["does_not_apply"],
            "time": report["seconds"],
        }
        suite = ElementTree.SubElement(
            suites, "testsuite", {"name": name, **{k: str(v) for k, v in counts.items()}}
        )
        for law in report["laws"]:
            case = ElementTree.SubElement(
                suite, "testcase",
                {"classname": name, "name": law["name"], "time": str(law["seconds"])},
            )  # fmt: skip
            if law["outcome"] == "broken":
                failure = ElementTree.SubElement(case, "failure", message=law["statement"])
                failure.text = f"{law['example']}\nTo mend: {law['mend']}"
            elif law["outcome"] in ("suspect", "declared"):
                text = f"{law['outcome']}: {law['statement']}\n{law['example']}\n{law['mend']}"
                ElementTree.SubElement(case, "system-out").text = text.rstrip()
            elif law["outcome"] == "does not apply":
                ElementTree.SubElement(case, "skipped", message=law["example"])
    for name, reason in unusable:
        suite = ElementTree.SubElement(suites, "testsuite", name=name, tests="1", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="can_be_tried")
        ElementTree.SubElement(case, "error", message=reason.splitlines()[0]).text = reason
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise PluginError(f"cannot write {path}: {error.strerror}") from error


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

    def named(outcome: str) -> list[str]:
        return [v["name"].replace("_", " ") for v in report["laws"] if v["outcome"] == outcome]

    try:
        note_verdict(item, report["held"], named("broken"), named("suspect"))
    except OSError as error:
        print(f"rnnbench: boards will not know of this verdict: {error}", file=sys.stderr)


def lines(verdict: Verdict) -> list[str]:
    """Return a verdict in lines of 80 columns: what is broken, its example, and how to mend it."""
    head = f"{verdict.outcome:<16}{verdict.law.name.replace('_', ' ')}"
    if verdict.outcome in ("broken", "suspect"):
        text_lines = [head, *_wrap(verdict.law.statement, " " * 4)]
        for line in verdict.example.splitlines():
            text_lines += _wrap(line.strip(), " " * 8)
        return [*text_lines, *_wrap(f"To mend: {verdict.law.mend}", " " * 4)]
    return [head, *_wrap(" ".join(verdict.example.split()), " " * 18)]


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent,
                         break_on_hyphens=False)  # fmt: skip


def summary(report: dict[str, Any]) -> str:
    """Return "15 laws held, 0 broken, 1 suspect, 2 do not apply (1.2 s)"."""
    parts = [f"{report['held']} laws held", f"{report['broken']} broken"]
    parts += [f"{report[k]} {k}" for k in ("suspect", "declared") if report[k]]
    other = report["does_not_apply"]
    parts.append(f"{other} {'does' if other == 1 else 'do'} not apply")
    return f"{', '.join(parts)} ({report['seconds']:.1f} s)"


def _make_report(
    item: Entry, plugin: str, verdicts: Iterable[Verdict], seconds: float
) -> dict[str, Any]:
    laws = [
        {
            "name": v.law.name,
            "statement": v.law.statement,
            "outcome": v.outcome,
            "example": v.example,
            "mend": v.law.mend if v.outcome in ("broken", "suspect") else "",
            "seconds": round(v.seconds, 3),
        }
        for v in verdicts
    ]
    from rnnbench.testing.law import OUTCOMES

    counts = {o.replace(" ", "_"): sum(t["outcome"] == o for t in laws) for o in OUTCOMES}
    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "held_as": plugin,
        "laws": laws,
        **counts,
        "seconds": round(seconds, 2),
    }
