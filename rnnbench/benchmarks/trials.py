"""Measure the cost of a trial beside its own work, by trials that do nothing on each engine.

The time is from the end of the first trial to that of the last, by one driver, so starting workers
is left out. A trial is proposed, planned, claimed, sent, its record written, committed, indexed and
told. Ray Tune runs the same number of trials that do nothing, with Optuna's random search.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rnnbench.benchmarks.study import plugins_of_nothing, text_of
from rnnbench.results.record import Record, Status
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.engines.usage import memory_held
from rnnbench.sweep.file.sweep import parse_sweep

WORK = "rnnbench.benchmarks.trials:nothing"
METRIC = {"name": "error", "unit": "", "higher_is_better": False, "help": ""}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--engines", nargs="*", default=["local", "ray", "tune"])
    parser.add_argument("--trials", type=int, default=1_000, help="in one study")
    parser.add_argument("--tune-trials", type=int, default=20, help="of Ray Tune, which is slow")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sampler", default="tpe")


def nothing(spec: RunSpec, *, store: Any, attempt: int = 1, **arguments: Any) -> Record:
    """Write a record at once, in the place of `rnnbench.training.execute.execute`."""
    value = float(spec.optimizer.lr)
    record = Record(
        spec=spec, status=Status.DONE, metrics={"valid": {"error": value, "loss": value}},
        metric_info=[METRIC], attempt=attempt, sweep=arguments["sweep"], study=arguments["study"],
        selection={"metric": "error", "higher_is_better": False, "value": value, "step": 1},
    )  # fmt: skip
    store.write(record)
    return record


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    print(f"{'engine':<8}{'trials':>8}{'ms a trial':>12}{'last tenth':>12}{'MB of driver':>14}")
    for name in arguments.engines:
        with tempfile.TemporaryDirectory() as folder:
            if name == "tune":
                each = tune(arguments.tune_trials, arguments.workers)
                print(f"{name:<8}{arguments.tune_trials:>8}{each * 1e3:>10.0f}ms", flush=True)
            else:
                measure(name, arguments, Path(folder))


def measure(name: Literal["local", "ray"], arguments: argparse.Namespace, root: Path) -> None:
    """Run a sweep of trials that do nothing, and print its line."""
    from rnnbench.sweep.engines.choose import EngineChoice, engine_factory_for
    from rnnbench.sweep.run_sweep import run_sweep

    sweep = parse_sweep(
        f"{text_of(arguments.sampler, arguments.trials)}workers: {arguments.workers}\n"
    )
    ends: list[float] = []

    def at(step: str) -> None:
        if step == "told":
            ends.append(time.perf_counter())

    silent: Callable[[str], None] = lambda line: None  # noqa: E731
    factory = engine_factory_for(EngineChoice(name), sweep, root, 5.0, silent, work=WORK)
    run_sweep(sweep, root=root, plugins=plugins_of_nothing(), engine_factory=factory, at=at)
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    tenth = max(1, len(ends) // 10)
    last = (ends[-1] - ends[-1 - tenth]) / tenth
    print(
        f"{name:<8}{len(ends):>8}{each * 1e3:>10.1f}ms{last * 1e3:>10.1f}ms"
        f"{memory_held() / 1e6:>14.0f}",
        flush=True,
    )


def tune(trials: int, workers: int) -> float:
    """Return the seconds that Ray Tune takes for a trial that does nothing, without start-up."""
    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    import ray

    try:
        from ray import tune as ray_tune
        from ray.tune.search.optuna import OptunaSearch
    except ImportError as error:
        raise SystemExit(f"Ray Tune cannot be imported: {error}") from error

    def trial(config: dict[str, Any]) -> None:
        ray_tune.report({"error": config["x"]})

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            tuner = ray_tune.Tuner(
                trial,
                param_space={"x": ray_tune.uniform(0, 1)},
                tune_config=ray_tune.TuneConfig(
                    metric="error", mode="min", num_samples=trials, search_alg=OptunaSearch(),
                    max_concurrent_trials=workers,
                ),
                run_config=ray_tune.RunConfig(storage_path=folder, verbose=0),
            )  # fmt: skip
            began = time.perf_counter()
            results = tuner.fit()
            each = (time.perf_counter() - began) / trials
            if results.num_errors or len(results) != trials:
                raise SystemExit(f"Ray Tune failed: {results.errors or len(results)}")
            return each
    finally:
        ray.shutdown()
