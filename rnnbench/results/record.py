"""Defines what a run leaves behind: a Record, as JSON on disk. No torch here.

A record is plain JSON: numbers that are not finite become null, names and reasons pass a
filter for keys and tokens, and neither environment variables nor host names are stored.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from rnnbench.errors import RunError
from rnnbench.results.outages import fault_of_reason
from rnnbench.results.provenance import provenance, redact
from rnnbench.spec.run_spec import RunSpec

__all__ = ["COSTS", "FAILED", "FINAL", "TESTED", "Record", "Status", "provenance", "redact"]

RECORD_FORMAT = 1


class Status(enum.StrEnum):
    """The way a run ended."""

    DONE = "done"
    PRUNED = "pruned"  # stopped by the search: it did not look worth its budget
    NAN = "nan"  # a loss or a gradient stopped being finite
    DIVERGED = "diverged"  # finite, and beyond what the runner takes for learning
    OOM = "oom"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"  # by the user, by pre-emption or by a fault of the infrastructure


FINAL = frozenset({Status.DONE, Status.PRUNED, Status.NAN, Status.DIVERGED})
"""Endings that a repetition would only repeat; after the others the run is run again."""

FAILED = frozenset({Status.NAN, Status.DIVERGED, Status.OOM, Status.CRASHED, Status.TIMEOUT})
"""Endings that count against an architecture in the failure rate."""

COSTS = (
    "steps",
    "tokens",
    "epochs",
    "parameters",
    "train_seconds",
    "wall_seconds",
    "device_seconds",
    "peak_memory_bytes",  # of the GPU's tensors; without one, of the whole process
    "flops",  # of training, see `rnnbench.training.costs`
    "latency_seconds",  # of one sequence at evaluation
    "step_latency_seconds",  # of one of its steps
)

FLOW = "gradient norm of "
"""Before a layer's name in a curve: the norm at the step before the validation."""

TESTED = frozenset({"flops", "latency_seconds", "step_latency_seconds"})
"""Costs that only runs on test know, so that the trials of a search don't pay for them."""

Figures = dict[str, float | None]


@dataclass
class Record:
    """A run, its end, its figures and its cost.

    A done record has every metric that `metric_info` declares, and "loss", on validation and,
    where its spec says so, on test. Where the loss, the headline or the selection value of a
    done record is not finite, the record becomes one of status "nan" that says which.

    Attributes:
        reason: of a status other than done, for a reader; keys and tokens are masked.
        metrics: {"valid": {name: value}, "test": {...}}, "loss" in nats or squared error.
        metric_info: name, unit, higher_is_better and help of each; the first is the headline.
        selection: metric, higher_is_better, value and step of the best validation; where the
            metric told nothing (`rnnbench.results.selection`) also "fallback": the metric that
            chose in its place, its value there, and a note that says why.
        baselines: {"test": {"unigram": {"bits_per_char": 4.7}}, "valid": ...}.
        cost: of the names in `COSTS`; seconds, bytes and counts.
        curve: validations as [step, seconds of training, {metric: value}], "train_loss" and the
            layers' gradient norms (see `FLOW`) among them.
        examples: what the task chose to show a reader, as text.
        provenance: see `rnnbench.results.provenance`.
        study: name of the cell of the sweep.
        started, ended: UTC, ISO 8601.
        attempt: rises with each start of the run; a lower one never replaces a higher one.
    """

    spec: RunSpec
    status: Status
    reason: str | None = None
    metrics: dict[str, Figures] = field(default_factory=dict)
    metric_info: list[dict[str, Any]] = field(default_factory=list)
    selection: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, dict[str, Figures]] = field(default_factory=dict)
    cost: Figures = field(default_factory=dict)
    curve: list[list[Any]] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    sweep: str | None = None
    study: str | None = None
    started: str | None = None
    ended: str | None = None
    attempt: int = 1

    def __post_init__(self) -> None:
        self.status = Status(self.status)
        self.reason = None if self.reason is None else redact(self.reason)
        for f in dataclasses.fields(self):
            if f.name not in ("spec", "status", "reason"):
                setattr(self, f.name, _as_plain(getattr(self, f.name), f.name))
        self._check()

    def _check(self) -> None:
        """Refuse values that cannot be; they are plain already.

        Raises:
            ValueError
        """
        self.status = Status(self.status)
        unknown = set(self.cost) - set(COSTS)
        if unknown:
            raise ValueError(f"a record has no cost called {sorted(unknown)}; it has {COSTS}")
        if self.status is Status.DONE:
            self._check_done()

    def _check_done(self) -> None:
        """Refuse a figure that was never computed; downgrade one that is not finite."""
        splits = ("valid", "test") if self.spec.test else ("valid",)
        if not self.metric_info:
            raise ValueError("a done record needs metric_info: what its task reports")
        for split in splits:
            names = {m["name"] for m in self.metric_info} | {"loss"}
            missing = names - set(self.metrics.get(split, {}))
            if missing:
                raise ValueError(
                    f"a done record lacks {sorted(missing)} on {split}: the task declares them "
                    "(and rnnbench adds the loss), but they were never computed"
                )
            for name in ("loss", self.headline["name"]):
                if self.metrics[split][name] is None:
                    self._not_finite(f"{name} on {split}")
        if not self.selection:
            raise ValueError("a done record needs selection: its best validation")
        if self.selection["value"] is None:
            self._not_finite(f"best validation {self.selection['metric']}")

    def _not_finite(self, what: str) -> None:
        self.status = Status.NAN
        self.reason = self.reason or f"training ended, but {what} is not finite"

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    @property
    def headline(self) -> dict[str, Any]:
        """The metric that the task is ranked by; {} where the run ended before it was known."""
        return self.metric_info[0] if self.metric_info else {}

    def value(self, split: str) -> float | None:
        """Return the headline on a split, None where there is none."""
        return self.metrics.get(split, {}).get(self.headline.get("name", ""))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, all finite; `from_dict` reads them back."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            "format": RECORD_FORMAT,
            "run_id": self.run_id,
            **fields,
            "spec": self.spec.as_dict(),
            "status": self.status.value,
        }

    @classmethod
    def from_dict(
        cls, d: Mapping[str, Any], origin: str = "this record", *, plain: bool = False
    ) -> Record:
        """Read what `as_dict` wrote.

        Args:
            origin: what error messages call the source, such as its path.
            plain: all values are as JSON has them, so that they need not be looked at again.
        Raises:
            RunError: written by a newer rnnbench, or not a record.
        """
        if not isinstance(d, Mapping) or not isinstance(d.get("format"), int):
            raise RunError(f"{origin} is not a record of rnnbench: it states no format")
        if d["format"] > RECORD_FORMAT:
            raise RunError(
                f"{origin} was written by a newer rnnbench (record format {d['format']}, this one "
                f"reads up to {RECORD_FORMAT}); upgrade rnnbench to read it"
            )
        names = _field_names()
        wrong = (names ^ d.keys()) - {"format", "run_id"}
        if wrong:
            raise RunError(f"{origin} is damaged: missing or unknown fields {sorted(wrong)}")
        try:
            fields = {name: d[name] for name in names}
            fields["spec"] = RunSpec.from_dict(d["spec"])
            if fields["status"] == Status.CRASHED and fault_of_reason(fields["reason"]):
                fields["status"] = Status.INTERRUPTED  # older versions blamed the model
            if not plain:
                return cls(**fields)
            record = cls.__new__(cls)
            record.__dict__.update(fields)
            record._check()
            return record
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{origin} cannot be read: {error!r}") from error

    def as_json(self) -> str:
        """Return the text of the record's file; `from_json` reads it back."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str = "this record") -> Record:
        """Read what `as_json` wrote.

        Raises:
            RunError: it is damaged or of a newer format; the message names `origin`.
        """
        try:
            d = json.loads(text, parse_constant=lambda _: None, parse_float=_read_number)
        except ValueError as error:
            raise RunError(f"{origin} is damaged: not JSON ({error})") from error
        return cls.from_dict(d, origin, plain=True)


@functools.cache
def _field_names() -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(Record))


def _read_number(text: str) -> float | None:
    """Read a number of JSON; one that is too large, such as 1e999, becomes null."""
    value = float(text)
    return value if math.isfinite(value) else None


def _as_plain(value: Any, where: str) -> Any:
    """Return the value as JSON knows it: lists, dicts, finite numbers; null for the rest.

    Raises:
        TypeError: something that JSON has no word for; `where` names it.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in (str, int, bool, NoneType):
        return value
    if kind is list or kind is tuple:
        return [_as_plain(v, where) for v in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: the keys of a record's mappings are text, got {key!r}")
        return {k: _as_plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (str, int, float)):  # enumerations, and floats of numpy
        return _as_plain(next(t for t in (str, int, float) if isinstance(value, t))(value), where)
    if hasattr(value, "item"):  # a scalar of numpy or torch
        return _as_plain(value.item(), where)
    raise TypeError(f"{where}: a record holds text and numbers, got {type(value).__name__}")
