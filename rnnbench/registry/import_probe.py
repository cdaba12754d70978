"""Tells whether third-party plugins import, by trying it in another process, and remembers it.

A plugin may raise, exit, hang or break the interpreter on import; only another process with a time
limit can tell without harm. The answer is kept until the plugin's file or version changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import platformdirs

from rnnbench.files.atomic import replace_file
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import BrokenPlugin, Entry
from rnnbench.registry.schema_from_source import file_of

LIMIT_SECONDS = 60
MARK = "rnnbench probe: "
FINE = "rnnbench probe ended"  # without it something ended the process before


def broken_plugins() -> tuple[BrokenPlugin, ...]:
    """Return what is broken: clashes, bad metadata, and others' plugins that do not import."""
    plugins, broken = discover()
    others = [e for of in plugins.values() for e in of.values() if e.distribution != "rnnbench"]
    if not others:
        return broken
    path = Path(platformdirs.user_cache_dir("rnnbench")) / "probes.json"
    remembered = _read(path)
    answers = {_key(e): remembered[_key(e)] if _key(e) in remembered else _probe(e) for e in others}
    if answers.keys() - remembered.keys():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(remembered | answers, indent=1))
        except OSError as error:
            print(f"rnnbench: not remembered which plugins import: {error}", file=sys.stderr)
    failed = [
        BrokenPlugin(e.kind, e.name, e.distribution, answers[_key(e)])
        for e in others
        if answers[_key(e)]
    ]
    return (*broken, *failed)


def _key(entry: Entry) -> str:
    file = file_of(entry)
    stamp = f"{file.stat().st_mtime_ns}" if file is not None else "?"
    return f"{sys.prefix} {entry.kind}.{entry.name} {entry.target} {entry.version} {stamp}"


def _read(path: Path) -> dict[str, str]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # never asked, or damaged: ask again
    return answers if isinstance(answers, dict) else {}


def _probe(entry: Entry) -> str:
    """Return what goes wrong when the plugin is imported, or ""."""
    code = (
        "import sys; from rnnbench.registry.registry import load, PluginError\n"
        "try: load(*sys.argv[1:3])\n"
        f"except PluginError as e: sys.exit({MARK!r} + str(e))\n"
        f"sys.stderr.write('\\n{FINE}\\n')"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, entry.kind, entry.name],
            capture_output=True, text=True, timeout=LIMIT_SECONDS, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its import takes more than {LIMIT_SECONDS} s"
    if done.returncode == 0 and FINE in done.stderr.splitlines():
        return ""
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(MARK)), None)
    return (
        first.removeprefix(MARK)
        if first
        else (lines[-1] if lines else f"its import ends the process ({done.returncode})")
    )
