"""Logs a run while it trains: to a CSV file always, to TensorBoard or Weights & Biases by option.

A failing service never harms a run: it is named once on the terminal and in the record, and
training goes on. The CSV log is part of the result: a failure to write it ends the run.
"""

from __future__ import annotations

import contextlib
import csv
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnbench.files.atomic import replace_file
from rnnbench.results.record import Record, redact
from rnnbench.results.run_folder import ERROR, METRICS
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training.loader import Position
from rnnbench.training.wandb_run import chart_name, labels, open_wandb

COLUMNS = ("step", "epoch", "tokens", "seconds", "name", "value")


class Telemetry:
    """The logs of a run.

    Attributes:
        problems: what went wrong with an optional service, for the record.
    """

    def __init__(self, spec: RunSpec, trainer: Trainer, folder: Path, sweep: str | None):
        self.folder, self.problems = folder, []  # type: Path, list[str]
        folder.mkdir(parents=True, exist_ok=True)
        self.csv_path = folder / METRICS
        self.service: Any = None
        if trainer.logger != "csv":
            self._guard(trainer.logger, lambda: self._open(trainer.logger, spec, sweep))

    def _open(self, name: str, spec: RunSpec, sweep: str | None) -> None:
        if name == "tensorboard":
            self.service = _TensorBoard(spec, self.folder / "tensorboard", sweep)
        else:
            self.service = _Wandb(spec, self.folder, sweep)

    def log(self, at: Position, seconds: float, values: dict[str, Any]) -> None:
        """Write one line for each value, by name."""
        fresh = not self.csv_path.exists()
        with self.csv_path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(COLUMNS)
            for name, value in values.items():
                writer.writerow([at.step, at.epoch, at.tokens, f"{seconds:.3f}", name, value])
        if self.service is not None:
            self._guard("logging", lambda: self.service.log(at.step, values))

    def rewind(self, step: int) -> None:
        """Drop what was logged after the checkpoint that a run goes on from."""
        if self.service is not None:
            self._guard("logging", lambda: self.service.rewind(step))
        if not self.csv_path.exists():
            return
        header, *lines = self.csv_path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step]
        if kept != lines:
            replace_file(self.csv_path, "".join([header, *kept]))

    def failure(self, error: BaseException) -> None:
        """Keep a crash's traceback beside the record, without keys and tokens."""
        text = redact("".join(traceback.format_exception(error)))
        (self.folder / ERROR).write_text(text, encoding="utf-8")

    def close(self, record: Record) -> None:
        """Send the final figures to the service, and let it go."""
        if self.service is not None:
            self._guard("closing", lambda: self.service.close(record))

    def guarded(self, what: str, make: Callable[[], Any], otherwise: Any) -> Any:
        """Run an optional step; on failure log it and return `otherwise`.

        Args:
            what: names the step in the message.
        """
        try:
            return make()
        except Exception as error:
            self._report_problem(what, error)
            return otherwise

    def _guard(self, what: str, action: Callable[[], None]) -> None:
        """Run an action on the service; on failure log it, and do without the service."""
        try:
            action()
        except Exception as error:
            if self.service is not None:
                with contextlib.suppress(Exception):
                    self.service.abandon()
            self.service = None
            self._report_problem(what, error)

    def _report_problem(self, what: str, error: Exception) -> None:
        first_line = redact((str(error) or type(error).__name__).splitlines()[0])
        self.problems.append(f"{what}: {first_line}")
        print(f"rnnbench: {what} failed and is left out of this run: {first_line}", file=sys.stderr)


class NoTelemetry(Telemetry):
    """No logs: in a process whose run is logged by another one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.problems, self.service = folder, [], None

    def log(self, at: Position, seconds: float, values: dict[str, Any]) -> None:
        pass

    def rewind(self, step: int) -> None:
        pass


class _TensorBoard:
    """A run at TensorBoard, with its settings in the table of the tab HParams.

    No list of settings and metrics is written: without one, TensorBoard gathers those of all runs
    that it shows, however their plugins differ.
    """

    def __init__(self, spec: RunSpec, folder: Path, sweep: str | None):
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        named = labels(spec, sweep)
        settings: dict[str, Any] = {
            "task": spec.task.name, "architecture": spec.architecture.name,
            "tricks": " ".join(t.name for t in spec.tricks), "seed": spec.seed,
            "sweep": sweep, "kind": named["job_type"], **spec.flat_settings(),
        }  # fmt: skip
        self.writer = SummaryWriter(str(folder))
        _, begun, self.ended = hparams(settings, {})
        self.events = self.writer._get_file_writer()
        self.events.add_summary(begun)

    def log(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if value is not None:
                self.writer.add_scalar(chart_name(name), value, step)

    def rewind(self, step: int) -> None:
        """Have TensorBoard hide what an earlier attempt logged after this step."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = Event(step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self.events.add_event(start, step + 1)

    def close(self, record: Record) -> None:
        """Write the final figures, and how the run ended.

        Those of the chosen weights on validation have names of their own, since `valid/...` is the
        history and ends with the last validation.
        """
        from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        step = int(record.cost.get("steps") or 0)
        for split, figures in record.metrics.items():
            place = f"best/{split}" if split.startswith("valid") else split
            for name, value in figures.items():
                if value is not None:
                    self.writer.add_scalar(f"{place}/{name}", value, step)
        if record.status != "done":
            data = self.ended.value[0].metadata.plugin_data
            end = HParamsPluginData.FromString(data.content)
            end.session_end_info.status = STATUS_FAILURE
            data.content = end.SerializeToString()
        self.events.add_summary(self.ended)
        self.writer.close()

    def abandon(self) -> None:
        self.writer.close()


class _Wandb:
    """A run at W&B: the sweep is its group, settings are plain values, no environment is sent."""

    def __init__(self, spec: RunSpec, folder: Path, sweep: str | None):
        try:
            self.run = open_wandb(
                project=os.environ.get("WANDB_PROJECT", "rnnbench"), group=sweep,
                name=spec.run_id, dir=str(folder), config=spec.as_dict(), **labels(spec, sweep),
            )  # fmt: skip
        except Exception:
            with contextlib.suppress(Exception):
                self.abandon()
            raise

    def log(self, step: int, values: dict[str, Any]) -> None:
        named = {chart_name(k): v for k, v in values.items() if v is not None}
        self.run.log(named, step=step)

    def rewind(self, step: int) -> None:
        """Do nothing: this attempt is a run of its own at W&B."""

    def close(self, record: Record) -> None:
        for split, figures in record.metrics.items():
            self.run.summary.update({f"{split}/{name}": value for name, value in figures.items()})
        self.run.summary.update({"status": record.status})
        self.run.finish(exit_code=0 if record.status == "done" else 1)

    def abandon(self) -> None:
        """Let go of a broken service, so that the next run of this process gets a new one."""
        import wandb

        try:
            wandb.teardown()
        except SystemExit as exit:  # its way to say that the service failed
            raise RuntimeError("wandb's service failed") from exit
        finally:
            os.environ.pop("WANDB_SERVICE", None)  # the address of the broken one
