"""Stand-ins for plugins and runner, so that tests of sweeps take milliseconds a trial.

Runs as a script too: `python fake_work.py SWEEP.yaml ROOT [STEP N]` drives a sweep, and kills
itself with SIGKILL when it comes to STEP of a trial's way for the N-th time.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench.errors import PluginError, Refusal, SpecError
from rnnbench.files.atomic import replace_file
from rnnbench.registry.schema import FieldSchema
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec
from rnnbench.sweep.plan import PluginAccess

TESTS = Path(__file__).parent.parent  # as a script it cannot import `support`
METRIC = {"name": "error", "unit": "", "higher_is_better": False, "help": ""}

FIELDS: dict[str, dict[str, dict[str, FieldSchema]]] = {
    "tasks": {
        "easy": {"seconds": FieldSchema("seconds", float, 0.0)},
        "trade": {},
        "noisy": {},
        "hard": {"length": FieldSchema("length", int, 10, search=(5, 20))},
    },
    "architectures": {
        "plain": {
            "hidden": FieldSchema("hidden", int, 8, search=(4, 64)),
            "activation": FieldSchema("activation", str, "tanh", search=("tanh", "relu")),
        },
        "explodes": {"hidden": FieldSchema("hidden", int, 8)},  # NaN where lr > 1e-2
        "always-nan": {},
        "infinite": {},
        "deadly": {},  # kills its worker
        "frozen": {},  # stops its worker at the first attempt
        "impossible": {},  # refused
        "picky": {"hidden": FieldSchema("hidden", int, 8)},  # refuses an odd width
        "layered": {
            "layers": FieldSchema("layers", int, 1, search=(1, 3)),
            "dropout": FieldSchema("dropout", float, 0.0, search=(0.0, 0.5)),
            "widths": FieldSchema("widths", tuple[int, ...], (8, 16)),
        },
        "raises": {},
        "says-gpus": {},
        "steady": {"units": FieldSchema("units", int, 5)},  # saves after each unit of work
    },
    "tricks": {
        "zoneout": {"rate": FieldSchema("rate", float, 0.1, search=(0.05, 0.3))},
        "clip": {},
    },
}


def fields(kind: str, name: str) -> dict[str, FieldSchema]:
    if name not in FIELDS[kind]:
        raise PluginError(f"there is no {kind[:-1]} {name!r}")
    return FIELDS[kind][name]


def compose(
    cell: Any, settings: dict[str, Any], places: dict[str, str], seed: int, test: bool
) -> RunSpec:
    def plugin(kind: str, section: str, entry: dict[str, Any]) -> PluginSpec:
        own = {f.name: f.default for f in fields(kind, entry["name"]).values()}
        options = {k: v for k, v in entry.items() if k != "name"}
        options |= {
            k.removeprefix(section + "."): v
            for k, v in settings.items()
            if k.rpartition(".")[0] == section
        }
        for k, v in options.items():
            if k not in own:
                raise SpecError(f"{places[f'{section}.{k}']}: {entry['name']} has no field {k!r}")
            if isinstance(own[k], int) and not isinstance(v, int):
                raise SpecError(f"{places.get(f'{section}.{k}')}: {k}={v!r} is no int")
        return PluginSpec(entry["name"], 1, tuple((own | options).items()))

    def part(section: str) -> dict[str, Any]:
        return {
            k.removeprefix(section + "."): v
            for k, v in settings.items()
            if k.startswith(section + ".")
        }

    spec = RunSpec(
        task=plugin("tasks", "task", cell.task),
        architecture=plugin("architectures", "architecture", cell.architecture),
        tricks=tuple(plugin("tricks", f"tricks.{t['name']}", t) for t in cell.tricks),
        optimizer=Optimizer(**part("optimizer")),
        budget=Budget(**{"steps": 200, "validate_every": 50, **part("budget")}),
        seed=seed,
        test=test,
    )
    if spec.architecture.name == "picky" and dict(spec.architecture.settings)["hidden"] % 2:
        raise Refusal("picky wants an even width")
    return spec


class Checked(NamedTuple):
    parameters: int


def parameters(spec: RunSpec) -> int:
    """Return the number of parameters: 100 for each hidden unit."""
    return 100 * dict(spec.architecture.settings).get("hidden", 1)


def check(spec: RunSpec) -> Checked:
    if spec.architecture.name == "impossible":
        raise Refusal(f"impossible on {spec.task.name}: it has no cell")
    return Checked(parameters(spec))


def recommended(task: str) -> dict[str, Any]:
    return {"optimizer.lr": 0.01} if task == "easy" else {}


FAKE_PLUGINS = PluginAccess(fields, compose, check, lambda spec: False, recommended)


def execute(
    spec: RunSpec,
    *,
    store: Any,
    trainer: Any = None,
    attempt: int = 1,
    sweep: str | None = None,
    study: str | None = None,
    seed_plan: Any = None,
    on_validation: Any = None,
    on_step: Any = None,
    quiet: bool = True,
) -> Any:
    """Stand in for `rnnbench.training.execute.execute`; leave a line in starts.log first."""
    from rnnbench.results.record import Record, Status

    with open(store.root / "starts.log", "a") as log:
        log.write(f"{spec.run_id} {attempt} {os.getpid()}\n")
    kind = spec.architecture.name
    seconds = dict(spec.task.settings).get("seconds", 0.0)
    if kind != "steady":
        time.sleep(seconds)
    if kind == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "frozen" and attempt == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "raises":
        raise RuntimeError("a fault of the runner")
    if kind == "steady":
        work_steadily(spec, store, seconds)
    if kind == "says-gpus":
        raise RuntimeError(f"sees {os.environ['CUDA_VISIBLE_DEVICES']}")
    hidden = dict(spec.architecture.settings).get("hidden", 8)
    target = abs(math.log10(spec.optimizer.lr) + 2.0)
    if spec.task.name == "trade":  # the wider the better, and the more parameters
        target += 8 / hidden
    if spec.task.name == "noisy":  # some seeds are easier, by the same for all
        target += (spec.seed % 7) / 100
    value: float | None = target
    status, reason, curve = Status.DONE, None, []
    for i in range(1, 5):
        value = target + (4 - i)
        if kind == "always-nan" or (kind == "explodes" and spec.optimizer.lr > 1e-2):
            status, reason, value = Status.NAN, f"the loss is nan at step {50 * i}", None
            break
        if kind == "infinite":
            value = -math.inf
        curve.append([50 * i, 0.1 * i, {"error": value, "loss": value}])
        if on_validation is not None and on_validation(50 * i, value) and i < 4:
            status, reason = Status.PRUNED, f"by the search, at step {50 * i}"
            break
    figures = {"error": value, "loss": value}
    record = Record(
        spec=spec,
        status=status,
        reason=reason,
        metrics={"valid": figures, "test": figures} if status is Status.DONE else {},
        metric_info=[METRIC],
        selection={"metric": "error", "higher_is_better": False, "value": value, "step": 200},
        cost={"parameters": parameters(spec), "tokens": 1000.0 * len(curve)},
        curve=curve,
        provenance={"seed_plan": dict(seed_plan)} if seed_plan else {},
        sweep=sweep,
        study=study,
        attempt=attempt,
    )
    store.write(record)
    return record


FAULT = "FAULT_OF_TESTS"  # names a file; while it is there, its text is executed in a run's place


def execute_unless_broken(spec: RunSpec, *, store: Any, **options: Any) -> Any:
    """Do fake work after what a real run begins with, and what a test put into the file."""
    store.begin(spec.run_id)
    with contextlib.suppress(FileNotFoundError):
        exec(Path(os.environ[FAULT]).read_text(), {"importlib": importlib, "spec": spec})
    return execute(spec, store=store, **options)


def work_steadily(spec: RunSpec, store: Any, seconds: float) -> None:
    """Do units of work of `seconds` each, with a line in units.log and a checkpoint after each."""
    saved = store.run_dir(spec.run_id) / "checkpoint"
    done = int(saved.read_text()) if saved.exists() else 0
    for unit in range(done, dict(spec.architecture.settings)["units"]):
        time.sleep(seconds)
        with open(store.root / "units.log", "a") as log:
            log.write(f"{spec.run_id} {unit}\n")
        replace_file(saved, str(unit + 1))


def units(root: Path) -> list[tuple[str, int]]:
    """Return (run id, number) of every unit of work that was done, repeated ones too."""
    path = root / "units.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(a, int(b)) for a, b in (line.split() for line in lines)]


def starts(root: Path) -> list[tuple[str, int, int]]:
    """Return (run id, attempt, process) of every start of a run."""
    path = root / "starts.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(a, int(b), int(c)) for a, b, c in (line.split() for line in lines)]


def make_engine(
    root: Path, work: str = "support.fake_work:execute", beat: float = 0.2, **options: Any
) -> Any:
    from rnnbench.sweep.engines.local import LocalEngine

    folder = str(TESTS)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    logs = root / "logs"
    return lambda n: LocalEngine(workers=n, root=root, logs=logs, work=work, beat=beat, **options)


def make_ray_engine(root: Path, address: str, beat: float = 0.2, **options: Any) -> Any:
    from rnnbench.sweep.engines.ray import RayEngine

    return lambda n: RayEngine(
        workers=n,
        root=root,
        logs=root / "logs",
        work="support.fake_work:execute",
        beat=beat,
        address=address,
        **options,
    )


def main(file: str, root: str, step: str = "", count: str = "1") -> int:
    """Drive a sweep; FAKE_ADDRESS in the environment is the address of a Ray cluster to use."""
    from rnnbench.sweep.file.sweep import read_sweep
    from rnnbench.sweep.run_sweep import run_sweep

    times_reached = 0

    def at(name: str) -> None:
        nonlocal times_reached
        times_reached += name == step
        if step and times_reached == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

    address = os.environ.get("FAKE_ADDRESS")
    engine = make_ray_engine(Path(root), address) if address else make_engine(Path(root))
    outcome = run_sweep(
        read_sweep(Path(file)), root=Path(root), database=os.environ.get("RNNBENCH_DATABASE"),
        engine_factory=engine, plugins=FAKE_PLUGINS,
        lease=2.0, beat=0.2, at=at,
    )  # fmt: skip
    print(outcome.summary())
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
