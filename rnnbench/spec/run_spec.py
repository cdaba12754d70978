"""The description of a run: frozen and hashable, with a canonical text and an identity.

No torch here. `compose` (in `rnnbench.spec.compose`) makes these from defaults, files and the
command line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from rnnbench.contract.settings import setting
from rnnbench.errors import PluginError, RunError

SPEC_FORMAT = 1


@dataclass(frozen=True)
class Optimizer:
    """How weights are updated."""

    name: str = setting("adam", "any optimiser of torch.optim by name, such as adam, adamw, sgd")
    lr: float = setting(1e-3, "learning rate", low=0.0, search=(1e-4, 1e-2, "log"))
    weight_decay: float = setting(0.0, "decoupled where the optimiser decouples it", low=0.0)
    momentum: float = setting(0.0, "of optimisers that have one; refused by others", low=0.0)
    batch: int = setting(32, "rows of a training batch", unit="rows", low=1)
    precision: Literal["32", "bf16"] = setting("32", "bf16 is mixed precision")


@dataclass(frozen=True)
class Budget:
    """When training ends: exactly one of steps, epochs, tokens and seconds (null: not this one).

    `parameters` may be given besides: then all architectures have that many.
    """

    steps: int | None = setting(None, "optimiser steps", unit="steps", low=1)
    epochs: float | None = setting(None, "passes over the training split", low=0.0)
    tokens: int | None = setting(None, "target elements trained on", unit="tokens", low=1)
    seconds: float | None = setting(None, "training time, validation left out", unit="s", low=0.0)
    validate_every: int = setting(100, "optimiser steps between validations", unit="steps", low=1)
    patience: int | None = setting(
        None, "stop after so many validations without a new best; null: never", low=1
    )
    parameters: int | None = setting(
        None, "trainable parameters: the architecture's width is solved for; null: as set", low=1
    )

    def as_dict(self) -> dict[str, Any]:
        """Return all fields, but `parameters` only if bounded: older runs keep their identity."""
        fields = dataclasses.asdict(self)
        if self.parameters is None:
            del fields["parameters"]
        return fields


@dataclass(frozen=True)
class Trainer:
    """How the machine is used. Not part of a run's identity."""

    accelerator: Literal["auto", "cpu", "gpu"] = setting(
        "auto", "auto takes a GPU where there is one"
    )
    devices: int = setting(
        1, "GPUs (or CPU processes) of one run; each takes some rows of every batch", low=1
    )
    checkpoint_seconds: float | None = setting(
        300.0, "most time between checkpoints; null: only where it validates", unit="s", low=0.0
    )
    deterministic: bool = setting(True, "refuse operators whose result varies from run to run")
    logger: Literal["csv", "tensorboard", "wandb"] = setting(
        "csv", "besides the CSV log, which is always written"
    )
    threads: int = setting(1, "CPU threads of one run: more is slower for small models", low=1)
    log_every: int = setting(
        25, "optimiser steps between lines of the CSV log", unit="steps", low=1
    )
    scan: Literal["auto", "eager", "inductor", "c"] = setting(
        "auto", "how recurrent cells run over time; auto takes the fastest tier that fits a cell"
    )


@dataclass(frozen=True)
class PluginSpec:
    """A plugin with all its settings, by value."""

    name: str
    version: int
    settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        reserved = {"name", "version"} & {k for k, _ in self.settings}
        if reserved:
            raise PluginError(f"plugin {self.name}: a setting cannot be called {reserved.pop()!r}")
        object.__setattr__(
            self, "settings", tuple(sorted((k, _freeze(v)) for k, v in self.settings))
        )

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, **dict(self.settings)}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> PluginSpec:
        settings = {k: v for k, v in d.items() if k not in ("name", "version")}
        return cls(d["name"], d["version"], tuple(settings.items()))


@dataclass(frozen=True)
class RunSpec:
    """One run: everything that its numbers depend on, and nothing else.

    Attributes:
        tricks: in the order in which they are folded.
        seed: of weights, data order and noise.
        data: version of the task's data (a hash of its sources' checksums).
        test: whether the run touches the test split at its end; search trials don't.
        label: what a user calls the data set. It is in no id: under another label the run is the
            same.
    """

    task: PluginSpec
    architecture: PluginSpec
    tricks: tuple[PluginSpec, ...] = ()
    optimizer: Optimizer = Optimizer()
    budget: Budget = Budget()
    seed: int = 0
    data: str = ""
    test: bool = True
    label: str = field(default="", compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "format": SPEC_FORMAT,
            "task": self.task.as_dict(),
            "architecture": self.architecture.as_dict(),
            "tricks": [t.as_dict() for t in self.tricks],
            "optimizer": dataclasses.asdict(self.optimizer),
            "budget": self.budget.as_dict(),
            "seed": self.seed,
            "data": self.data,
            "test": self.test,
        }

    def as_message(self) -> dict[str, Any]:
        """Return the spec with its label, as it travels to whoever runs it."""
        return self.as_dict() | ({"label": self.label} if self.label else {})

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> RunSpec:
        """Read what `as_dict` or `as_message` wrote.

        Raises:
            RunError: a newer version wrote it.
        """
        if d["format"] > SPEC_FORMAT:
            raise RunError(
                f"this run was described by a newer rnnbench (spec format {d['format']}, this one "
                f"reads up to {SPEC_FORMAT}); upgrade rnnbench to read it"
            )
        return cls(
            task=PluginSpec.from_dict(d["task"]),
            architecture=PluginSpec.from_dict(d["architecture"]),
            tricks=tuple(PluginSpec.from_dict(t) for t in d["tricks"]),
            optimizer=Optimizer(**d["optimizer"]),
            budget=Budget(**d["budget"]),
            seed=d["seed"],
            data=d["data"],
            test=d["test"],
            label=d.get("label", ""),
        )

    def flat_settings(self) -> dict[str, bool | int | float | str | None]:
        """Return every setting by its dotted name; what is no single value is JSON."""
        sections = [("task", self.task), ("architecture", self.architecture)]
        sections += [(f"tricks.{trick.name}", trick) for trick in self.tricks]
        values = {f"{place}.{k}": v for place, plugin in sections for k, v in plugin.settings}
        own = self.as_dict()
        for section in ("optimizer", "budget"):
            values |= {f"{section}.{k}": v for k, v in own[section].items()}
        return {
            k: v if v is None or isinstance(v, (str, int, float)) else json.dumps(v)
            for k, v in values.items()
        }

    def canonical(self) -> str:
        """Return the one text of this spec: JSON with sorted keys."""
        return canonical_json(self.as_dict())

    @property
    def run_id(self) -> str:
        """Return the name of the run: readable, and unique by the hash of the canonical text."""
        tricks = "".join(f"+{t.name}" for t in self.tricks)
        return (
            f"{self.task.name}.{self.architecture.name}{tricks}"[:80]
            + "."
            + _hash(self.canonical())
        )

    @property
    def config_id(self) -> str:
        """Return an id of the run without its seed and without whether it touches the test
        split."""
        return _hash(dataclasses.replace(self, seed=0, test=True).canonical())

    @property
    def protocol_id(self) -> str:
        """Return an id of runs that may be ranked together: same task, data and budget."""
        d = self.as_dict()
        return _hash(canonical_json({k: d[k] for k in ("format", "task", "data", "budget")}))


def canonical_json(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _freeze(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    return value
