"""Work whose node, disk or storage fails as a test asks for, and sweeps over it."""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.run_sweep import run_sweep
from support import fake_work
from support.fake_work import FAKE_PLUGINS

WORK = "support.broken_infrastructure:execute"
FAULT = "FAULT_OF_TESTS"  # names a file; while it is there, its text is executed in a run's place


def execute(spec: Any, *, store: Any, **options: Any) -> Any:
    """Do fake work after what `training.execute` begins with, and what a test put in the file."""
    store.begin(spec.run_id)
    with contextlib.suppress(FileNotFoundError):
        exec(Path(os.environ[FAULT]).read_text(), {"importlib": importlib, "spec": spec})
    return fake_work.execute(spec, store=store, **options)


def run(text: str, root: Path | str, logs: Path, **options: Any) -> Any:
    """Run a sweep over such work in processes of this machine; return its outcome."""
    from rnnbench.sweep.engines.local import LocalEngine

    def local(workers: int) -> Any:
        return LocalEngine(workers=workers, root=root, logs=logs, work=WORK, beat=0.2)

    options = {"lease": 2.0, "beat": 0.2, "engine_factory": local, **options}
    return run_sweep(parse_sweep(text), root=root, plugins=FAKE_PLUGINS, **options)
