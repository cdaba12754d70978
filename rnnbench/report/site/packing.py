"""Packs runs as the page of a run reads them: small, since many runs share most of what they say.

A file of data is a script that calls `rnnbench(…)` with one JSON value, because a page that was
opened from a disk may load scripts and nothing else. The value is written so that it could even
stand inside of a page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rnnbench.leaderboard.protocol_text import provenance_in_words
from rnnbench.report.site.names import file_name, sweep_page
from rnnbench.report.site.repeat_command import command
from rnnbench.report.wording import visible
from rnnbench.results.labels import label_in
from rnnbench.results.provenance import redact
from rnnbench.results.record import COSTS, Record

CHUNK = 40  # runs in a file of plots
DIGITS = 6


def runs_file(task: str) -> str:
    return f"data/{file_name(task)}.js"


def plots_file(task: str, chunk: int) -> str:
    return f"data/{file_name(task)}.plots{chunk}.js"


class Shared:
    """Values that are written once, and referred to by their places."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Return the place of a value, which is entered where it is new."""
        key = json.dumps(value, sort_keys=True, ensure_ascii=False)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def pack_runs(task: str, records: Sequence[Record]) -> str:
    """Pack the runs of a task, without what is drawn.

    {"runs": {id: [status, seed, …]}}: texts by their places in "shared", see `unpack` of `run.js`.
    """
    shared = Shared()
    runs = {
        record.run_id: _pack_run(record, place // CHUNK, shared)
        for place, record in enumerate(records)
    }
    return as_script({"task": task, "costs": list(COSTS), "shared": shared.values, "runs": runs})


def _pack_run(record: Record, chunk: int, shared: Shared) -> list[Any]:
    spec = record.spec
    names = [m["name"] for m in record.metric_info]
    names += [] if "loss" in names else ["loss"]
    splits = list(record.metrics)
    selection = record.selection
    return [
        record.status.value,
        spec.seed,
        *_shorten_times(record.started or "", record.ended or ""),
        record.attempt,
        chunk,
        shared.place(record.reason),
        [
            shared.place([shared.place([what, name]), *map(shared.place, values)])
            for what, name, values in settings(record)
        ],
        [shared.place(" ".join(words)) for _, words in groupby(command(spec), key=_section_of)],
        shared.place([record.metric_info, names, splits]),
        [[_round(record.metrics[s].get(n)) for n in names] for s in splits],
        shared.place(record.baselines),
        [_round(record.cost.get(c)) for c in COSTS],
        shared.place([selection.get("metric"), selection.get("higher_is_better")]),
        [_round(selection.get("value")), selection.get("step")],
        shared.place([record.sweep, record.sweep and sweep_page(record.sweep), record.study]),
        shared.place(_environment_pairs(record)),
        shared.place("" if record.sweep else redact(str(record.provenance.get("command") or ""))),
    ]


def _shorten_times(started: str, ended: str) -> tuple[str, str]:
    """Drop the zone of two times, which is UTC, and the day of the second where it is the same."""
    first, second = (text.removesuffix("+00:00") for text in (started, ended))
    day = first[: first.find("T") + 1]
    return first, second.removeprefix(day) if day else second


def _section_of(word: str) -> str:
    """Return which part of a command a word is of; what a search varies most stands alone."""
    name, assigned, _ = word.lstrip("'").partition("=")
    return "" if not assigned else name if name == "optimizer.lr" else name.partition(".")[0]


def settings(record: Record) -> list[list[Any]]:
    """List [what, name and version, [[setting, value], …]] for each part of a configuration."""
    spec = record.spec.as_dict()
    parts = [("Task", spec["task"]), ("Architecture", spec["architecture"])]
    parts += [("Trick", trick) for trick in spec["tricks"]]
    lines = [
        [what, f"{p['name']}, version {p['version']}",
         [[k, _as_text(v)] for k, v in p.items() if k not in ("name", "version")]]
        for what, p in parts
    ]  # fmt: skip
    lines.append(["Optimiser", "", [[k, _as_text(v)] for k, v in spec["optimizer"].items()]])
    limits = [[k, _as_text(v)] for k, v in spec["budget"].items() if v is not None]
    lines.append(["Budget", "", limits])
    called = label_in(record)
    version = ["version", spec["data"] or "made by the task itself"]
    lines.append(["Data", called, [version]])
    lines.append(["Test split", "", [["touched", "once, at the end" if spec["test"] else "no"]]])
    return lines


def _environment_pairs(record: Record) -> list[list[str]]:
    """List the known parts of provenance as (label, text), whatever else a record has in it."""
    provenance = record.provenance
    pairs = [
        [label, ", ".join(values)]
        for label, values in provenance_in_words([record])
        if label != "Ended"
    ]
    for label, key in (
        ("System", "os"), ("Devices", "devices"), ("Threads", "threads"),
        ("Metrics by", "metric_signature"), ("Split over devices", "split"),
        ("Telemetry", "telemetry"), ("Storage", "storage"), ("Signal", "signal"),
    ):  # fmt: skip
        if provenance.get(key):
            pairs.append([label, _as_text(provenance[key])])
    decoding = provenance.get("decoding")
    if isinstance(decoding, Mapping):
        shares = {
            split: v.get("reached") for split, v in decoding.items() if isinstance(v, Mapping)
        }
        told = [f"{100 * s:.3g}% on {split}" for split, s in shares.items() if s is not None]
        pairs.append(["Outputs cut off at the limit", ", ".join(told)])
    if fallback := record.selection.get("fallback"):
        pairs.append(["Chosen by loss", _as_text(fallback["note"])])
    if isinstance(scan := provenance.get("scan"), Mapping):
        cells = [c for c in scan.get("cells") or [] if isinstance(c, Mapping)]
        tiers = [f"{c.get('cell')}: {c.get('tier')}" for c in cells]
        pairs.append(["Recurrent scan", ", ".join([_as_text(scan.get("setting")), *tiers])])
    return [[label, redact(visible(text))] for label, text in pairs]


def _as_text(value: Any) -> str:
    """Return a value as a reader should see it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_as_text(v)}" for k, v in value.items() if v not in (None, [], {}))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_as_text, value))
    return visible(f"{value:g}" if isinstance(value, float) else str(value))


def _round(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def as_script(value: Any) -> str:
    """Return the call that hands a value to the page."""
    return f"rnnbench({as_json(value)})\n"


def as_json(value: Any) -> str:
    """Return JSON that could stand anywhere in a page or a script."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
