"""Writes the command that makes a run again."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from rnnbench.results.provenance import redact
from rnnbench.spec.run_spec import RunSpec

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*", re.ASCII)
NOT_WORDS = {"null", "true", "false"}  # of YAML


def command(spec: RunSpec) -> list[str]:
    """Return the words of `rnnbench run …` with every setting by value, as a shell reads them.

    Defaults may change from version to version, so none is left out. Keys and logins are masked.
    """
    words = ["rnnbench", "run", spec.task.name, spec.architecture.name]
    for trick in spec.tricks:
        words += ["--trick", trick.name]
    words += ["--seed", str(spec.seed), *([] if spec.test else ["--no-test"])]
    words += [f"{name}={_as_yaml(value)}" for name, value in _named_values(spec)]
    return [redact(shlex.quote(word)) for word in words]


def _named_values(spec: RunSpec) -> Iterator[tuple[str, Any]]:
    for name, value in spec.task.settings:
        yield f"task.{name}", value
    for name, value in spec.architecture.settings:
        yield f"architecture.{name}", value
    for trick in spec.tricks:
        for name, value in trick.settings:
            yield f"tricks.{trick.name}.{name}", value
    for name, value in dataclasses.asdict(spec.optimizer).items():
        yield f"optimizer.{name}", value
    for name, value in dataclasses.asdict(spec.budget).items():
        if value is not None:
            yield f"budget.{name}", value


def _as_yaml(value: Any) -> str:
    """Return a value as YAML 1.2 reads it back."""
    if isinstance(value, str) and WORD.fullmatch(value) and value.lower() not in NOT_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
