"""Records as real runs would leave them, made up: three tasks, four rows each, three seeds."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from rnnbench.results.record import Record, Status
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec

BITS = {"name": "bits_per_char", "unit": "bits/char", "higher_is_better": False, "help": ""}
PERPLEXITY = {"name": "perplexity", "unit": "", "higher_is_better": False, "help": ""}
ACCURACY = {"name": "accuracy", "unit": "", "higher_is_better": True, "help": "share correct"}
MSE = {"name": "mse", "unit": "", "higher_is_better": False, "help": "mean squared error"}

TASKS: dict[str, dict[str, Any]] = {
    "char-lm": {
        "metrics": [BITS, PERPLEXITY],
        "settings": (("corpus", "austen"), ("length", 100)),
        "baselines": {"unigram": {"bits_per_char": 4.35}, "bigram": {"bits_per_char": 3.41}},
    },
    "digits": {
        "metrics": [ACCURACY],
        "settings": (("order", "row"),),
        "baselines": {"majority class": {"accuracy": 0.1012}},
    },
    "adding": {
        "metrics": [MSE],
        "settings": (("length", 200),),
        "baselines": {"mean of the targets": {"mse": 0.1667}},
    },
}

# Mean and spread over seeds of the headline on test.
ROWS: dict[str, dict[tuple[str, ...], tuple[float, float]]] = {
    "char-lm": {
        ("lstm",): (1.846, 0.012),
        ("lstm", "zoneout"): (1.801, 0.009),
        ("gru",): (1.852, 0.014),
        ("elman",): (2.310, 0.030),
    },
    "digits": {
        ("lstm",): (0.9712, 0.0040),
        ("lstm", "zoneout"): (0.9726, 0.0035),
        ("gru",): (0.9705, 0.0040),
        ("transformer",): (0.9411, 0.0080),
    },
    "adding": {
        ("lstm",): (0.0031, 0.0006),
        ("lstm", "zoneout"): (0.0042, 0.0011),
        ("gru",): (0.0012, 0.0003),
        ("elman",): (0.1671, 0.0004),
    },
}

PROVENANCE = {
    "command": "rnnbench sweep sweeps/quickstart.yaml",
    "python": "3.11.7",
    "os": "Linux 6.1",
    "packages": {"torch": "2.13.0", "pytorch-lightning": "2.6.6", "numpy": "2.4.6"},
    "distributions": {"rnnbench": {"version": "0.1.0", "commit": "8f3c2d1e9ab0", "dirty": False}},
    "machine": {"cpu": "AMD EPYC 7B13", "cores": 2, "gpus": [], "device": "cpu"},
}


def make_spec(
    task: str = "char-lm",
    architecture: str = "lstm",
    tricks: tuple[str, ...] = (),
    *,
    seed: int = 0,
    test: bool = True,
    lr: float = 1e-3,
    steps: int = 2000,
    hidden: int = 128,
    version: int = 1,
) -> RunSpec:
    settings = TASKS.get(task, {"settings": ()})["settings"]
    return RunSpec(
        task=PluginSpec(task, 1, settings),
        architecture=PluginSpec(architecture, version, (("hidden", hidden), ("layers", 1))),
        tricks=tuple(PluginSpec(name, 1, (("rate", 0.1),)) for name in tricks),
        optimizer=Optimizer(lr=lr),
        budget=Budget(steps=steps, validate_every=200),
        seed=seed,
        data="1f0c2a" if task == "char-lm" else "",
        test=test,
    )


def make_record(
    spec: RunSpec | None = None,
    value: float = 1.5,
    status: Status = Status.DONE,
    *,
    metrics: list[dict[str, Any]] | None = None,
    baselines: dict[str, dict[str, float]] | None = None,
    valid: float | None = None,
    **fields: Any,
) -> Record:
    """A record whose headline on test is `value`, and on validation `valid`."""
    spec = spec or make_spec()
    told = TASKS.get(spec.task.name, TASKS["char-lm"])
    metrics = told["metrics"] if metrics is None else metrics
    baselines = told["baselines"] if baselines is None else baselines
    name, higher = metrics[0]["name"], metrics[0]["higher_is_better"]
    valid = value * (1.02 if not higher else 0.99) if valid is None else valid

    def figures(headline: float) -> dict[str, float]:
        others = {m["name"]: 2 ** min(headline, 60.0) for m in metrics[1:]}
        return {name: headline, "loss": 0.69 * headline, **others}

    done = status is Status.DONE
    parameters = 40_000 + 1000 * len(spec.architecture.name) + 512 * len(spec.tricks)
    values: dict[str, Any] = {
        "metrics": {"valid": figures(valid), **({"test": figures(value)} if spec.test else {})},
        "metric_info": metrics,
        "selection": {"metric": name, "higher_is_better": higher, "value": valid, "step": 1800},
        "baselines": {"valid": baselines, "test": baselines},
        "cost": {
            "steps": spec.budget.steps if done else 700,
            "tokens": 6_400_000 if done else 2_240_000,
            "epochs": 3.2 if done else 1.1,
            "parameters": parameters,
            "train_seconds": (41.0 + 10 * len(spec.tricks)) * (1 if done else 0.4),
            "wall_seconds": (47.0 + 10 * len(spec.tricks)) * (1 if done else 0.4),
            "device_seconds": None,
            "peak_memory_bytes": 412_000_000,
        },
        "curve": _curve(valid, higher, name, spec),
        "provenance": PROVENANCE,
        "sweep": "quickstart",
        "started": "2026-03-02T10:00:00+00:00",
        "ended": "2026-03-02T10:01:00+00:00",
    }
    if not done:
        values.update(metrics={}, reason="the training loss became NaN at step 700")
        values["selection"]["value"] = None
    return Record(spec, status, **{**values, **fields})


def _curve(valid: float, higher: bool, name: str, spec: RunSpec) -> list[list[Any]]:
    start = valid * (0.3 if higher else 2.2)
    told = []
    for step in range(200, (spec.budget.steps or 0) + 1, 200):
        value = valid + (start - valid) * 0.62 ** (step / 200 - 1)
        told.append([step, step / 50, {name: value, "loss": 0.69 * value}])
    return told


def fake_records(seed: int = 0) -> list[Record]:
    """Search and test runs of a whole sweep, with failures of every sort."""
    rng = random.Random(seed)
    records = []
    for task, rows in ROWS.items():
        higher = TASKS[task]["metrics"][0]["higher_is_better"]
        for (architecture, *tricks), (mean, spread) in rows.items():
            base = make_spec(task, architecture, tuple(tricks))
            for lr in (3e-4, 1e-3, 3e-3):  # the search: one seed, no test
                spec = dataclasses.replace(base, optimizer=Optimizer(lr=lr), seed=0, test=False)
                worse = abs(rng.gauss(0, 3 * spread)) * (0 if lr == 1e-3 else 1)
                if lr == 3e-3 and architecture == "elman":
                    records.append(make_record(spec, status=Status.NAN))
                    continue
                records.append(make_record(spec, mean - worse if higher else mean + worse))
            for run_seed in (1, 2, 3):
                spec = dataclasses.replace(base, seed=run_seed)
                if task == "adding" and tricks and run_seed == 3:
                    reason = "the loss rose to 40 times its first value"
                    records.append(make_record(spec, status=Status.DIVERGED, reason=reason))
                    continue
                examples = [] if task != "char-lm" else _examples(architecture)
                value = rng.gauss(mean, spread)
                records.append(make_record(spec, value, examples=examples))
    records.append(make_record(make_spec("char-lm", "mgu"), 1.79))  # one seed only
    for run_seed, status in enumerate((Status.OOM, Status.OOM, Status.CRASHED)):
        reason = (
            "out of memory: 2.1 GiB asked for" if status is Status.OOM else "killed by signal 9"
        )
        spec = make_spec("digits", "transformer", ("variational-dropout",), seed=run_seed)
        records.append(make_record(spec, status=status, reason=reason))
    records.append(make_record(make_spec("adding", "transformer", test=False), 0.02))
    return records


REFUSED = [
    {
        "task": "char-lm",
        "architecture": "transformer",
        "tricks": "zoneout",
        "reason": "zoneout acts on a recurrent cell; transformer has none",
    }
]


def _examples(architecture: str) -> list[dict[str, str]]:
    return [
        {
            "source": "It is a truth universally ack",
            "target": "nowledged, that a single man",
            "prediction": f"nowledged, that a {architecture} man",
        }
    ]
