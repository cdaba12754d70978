"""Training as a Lightning module: steps, validations, checkpoints, and taking up again.

Only this module imports Lightning. Its own account of epochs and batches is not used: a Lightning
epoch is the stretch between two validations, and `Loader` begins wherever a checkpoint says, since
Lightning's mid-epoch resume replays data and restores no random state.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from rnnbench.contract import Batch, Meter, Moment, State, WrappedOptimizer
from rnnbench.nn import Model
from rnnbench.results.record import Status
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training import checkpoint, resume
from rnnbench.training import determinism as process
from rnnbench.training.devices.data_parallel import Decision, Ranks
from rnnbench.training.devices.split_check import try_split
from rnnbench.training.ended import Ended
from rnnbench.training.evaluate import evaluate
from rnnbench.training.gradient_norms import gradient_flow
from rnnbench.training.loader import Loader, Pack, Position, split_of
from rnnbench.training.logs import Telemetry
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step

PACK = 25  # optimiser steps in what Lightning sees as one batch
DIVERGED = 1e4  # a training loss so many times its first value (or 1) is no longer learning

OnValidation = Callable[[int, float], bool]
OnStep = Callable[[Position, float, float], None]  # position, mean loss, progress


class Training(pl.LightningModule):
    """The Lightning module of a run: its model, its optimiser, and where it stands."""

    def __init__(
        self,
        spec: RunSpec,
        trainer: Trainer,
        folder: Path,
        telemetry: Telemetry,
        on_validation: OnValidation | None = None,
        on_step: OnStep | None = None,
        ranks: Ranks | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.spec, self.settings, self.folder, self.telemetry = spec, trainer, folder, telemetry
        self.on_validation, self.on_step, self.ranks = on_validation, on_step, ranks
        self.task, self.architecture, tricks = instantiate(spec)
        self.data = split_of(self.task, "train", spec.seed)
        self.split = ""  # how the run was found to split over devices
        if ranks is not None:
            self.split = try_split(spec, self.task, self.architecture, tricks, self.data, ranks)
        self.tricks = TrickFold(tricks)
        process.seed_everything(spec.seed)
        self.model: Model = assemble(self.architecture, self.task, self.tricks)
        self.optimizer = make_optimizer(spec.optimizer, self.model.parameters(), self.tricks)
        self.parameters_count = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.loader = self._loader()
        self.selection = next((m for m in self.task.metrics if m.name == self.task.selection), None)
        self.state: State = None  # carried from batch to batch of a stream
        self.memory: dict[str, Any] = {}  # the estimator's, likewise
        self.best: dict[str, Any] = {"value": None, "step": None, "stale": 0}
        self.curve: list[list[Any]] = []
        self.flow: dict[str, float] = {}  # gradient norms at the last step of a round
        self.train_seconds = 0.0
        self.recent: list[float] = []  # losses since the last line of the log
        self.first_loss: float | None = None
        self.ended = False
        self.drawn: list[dict[str, Any]] = []  # of the first items, where examples are asked for
        self.meter: Meter | None = None  # of the last full evaluation
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.stop_signal: int | None = None
        self.saved = self._began = time.monotonic()
        self.validation_seconds = 0.0  # of the last one
        self.kept: Callable[[], None] = lambda: None  # called after a checkpoint

    # ------------------------------------------------------------------ what Lightning asks for

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer

    def transfer_batch_to_device(self, batch: Pack, device: torch.device, _: int) -> Pack:
        return batch.to(device)

    def on_fit_start(self) -> None:
        # Noise in training has a generator state of its own, whatever the initialisation drew.
        process.seed_everything(self.spec.seed + 2**31)
        saved = checkpoint.load(self.folder)
        if saved is not None:
            resume.restore(self, saved)
            if self.due:  # stopped between the last step of a round and its validation
                self.close_round()
                self.trainer.should_stop = self.ended

    def training_step(self, pack: Pack, _: int) -> None:
        if self.spent:  # Lightning has one more pack at hand when a budget in seconds ends
            return
        self._began, losses, weights = time.perf_counter(), [], []
        for i, (batch, fresh) in enumerate(zip(pack.batches, pack.fresh, strict=True)):
            losses.append(self._one_step(batch, fresh, pack.after[i]))
            if self.ranks is not None:
                weights.append(self.ranks.weight)
            now, last = self._decide(), i + 1 == len(pack.batches)
            if last or any(now):
                self._settle(losses, weights, pack.after[i], whole=last)
                losses, weights = [], []
            if now.stop:
                self._save()
                raise self._interrupted(now.stop)
            if now.save:
                self._save()
                self._began = time.perf_counter()
            if now.over:
                break

    def _decide(self) -> Decision:
        """What to do after the step at hand; the first rank's watch counts."""
        seconds, every = self.spec.budget.seconds, self.settings.checkpoint_seconds
        so_far = self.train_seconds + time.perf_counter() - self._began
        mine = Decision(
            stop=self.stop_signal or 0,
            over=seconds is not None and so_far >= seconds,
            save=every is not None and time.monotonic() - self.saved >= every,
        )
        return mine if self.ranks is None else self.ranks.decide(mine)

    def _settle(
        self, losses: list[torch.Tensor], weights: list[Any], at: Position, whole: bool
    ) -> None:
        """Account for the steps up to a position; a pack that is not whole goes on after it."""
        values = torch.stack(losses)  # reading it waits for the device
        told = values.tolist() if self.ranks is None else self.ranks.losses(
            values, torch.stack(weights)
        )  # fmt: skip
        self.train_seconds += time.perf_counter() - self._began
        self._began = time.perf_counter()
        if self.ranks is not None:  # schedules and budgets read one clock
            self.train_seconds = self.ranks.tell(self.train_seconds)
        self.loader.position = at
        self.loader.stopped = self.spent
        self._refuse_non_finite(told)
        if self.due:  # kept with a checkpoint, since a run may be taken up between step and round
            self.flow = gradient_flow(self.model)
        self.recent = (self.recent + told)[-self.settings.log_every :]
        if whole:
            self._log_training()

    def _interrupted(self, number: int, doing: str = "") -> Ended:
        name = signal.Signals(number).name
        where = f"at step {self.loader.position.step}"
        return Ended(Status.INTERRUPTED, f"{name} {doing}{where}", number)

    def on_train_epoch_end(self) -> None:
        if self.due:
            self.close_round()
            self.trainer.should_stop = self.ended

    # --------------------------------------------------------------------------------- its parts

    def ask_to_stop(self, number: int) -> None:
        """End after the step at hand, for a signal of this number."""
        self.stop_signal = number

    @property
    def spent(self) -> bool:
        """The budget is used up."""
        seconds = self.spec.budget.seconds
        return self.loader.spent(self.loader.position) or (
            seconds is not None and self.train_seconds >= seconds
        )

    @property
    def due(self) -> bool:
        """A validation is due and has not been made."""
        step = self.loader.position.step
        ends = step % self.spec.budget.validate_every == 0 or self.spent
        return step > 0 and ends and (not self.curve or self.curve[-1][0] != step)

    def close_round(self) -> None:
        """Validate, choose, save; the run has ended where its budget or its patience has."""
        if self._overdue:
            self._save()
        noise = process.random_state()
        try:
            with self.averaged():
                metrics = self._agreed(
                    lambda: self.validate("valid", full=self.selection is not None)
                )
        except Ended:
            process.set_random_state(noise)  # it is validated anew, as if never begun
            self._save()
            raise
        value = metrics[self.task.selection]
        at = self.loader.position
        train = sum(self.recent) / len(self.recent) if self.recent else None
        told = {**metrics, "train_loss": train, **self.flow}
        self.curve.append([at.step, self.train_seconds, told])
        self.telemetry.log(at, self.train_seconds, {f"valid_{k}": v for k, v in metrics.items()})
        if not np.isfinite(value):
            raise Ended(
                Status.NAN, f"validation {self.task.selection} is {value} at step {at.step}"
            )
        better = self._better(value)
        if better:
            self.best = {"value": value, "step": at.step, "stale": 0}
            with self.averaged():
                weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            self.best_weights = weights
        else:
            self.best["stale"] += 1
        if isinstance(self.optimizer, WrappedOptimizer):
            higher = self.selection is not None and self.selection.higher_is_better
            self.optimizer.observe(-value if higher else value, better)
        patience = self.spec.budget.patience
        self.ended = self.spent or (patience is not None and self.best["stale"] >= patience)
        self._save()
        if self.ended:
            return
        asks = self.on_validation
        if self._agreed(lambda: asks is not None and asks(at.step, value)):
            raise Ended(Status.PRUNED, f"by the search, at step {at.step}")

    @property
    def _overdue(self) -> bool:
        """A validation as long as the last one would end later than the next checkpoint is due."""
        every = self.settings.checkpoint_seconds
        late = every is not None and (
            time.monotonic() - self.saved + self.validation_seconds >= every
        )
        return self._agreed(lambda: late)

    def _agreed(self, ask: Callable[[], Any]) -> Any:
        """What `ask` gives or how it ends the run: on the first rank, which tells the others."""
        if self.ranks is None:
            return ask()
        told: Any = None
        if self.ranks.rank == 0:
            try:
                told = ask()
            except Ended as end:
                told = end
        told = self.ranks.tell(told)
        if isinstance(told, Ended):
            raise told
        return told

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the model has the weights that are evaluated and kept."""
        if isinstance(self.optimizer, WrappedOptimizer):
            return self.optimizer.averaged()
        return contextlib.nullcontext()

    def _loader(self) -> Loader:
        budget = self.spec.budget
        loader = Loader(
            self.data,
            self.spec.optimizer.batch,
            self.spec.seed,
            pack=PACK,
            round_steps=budget.validate_every,
            steps=budget.steps,
            tokens=budget.tokens,
        )
        if budget.epochs is not None:
            loader.steps = max(1, round(budget.epochs * len(loader.order(0))))
        return loader

    def progress(self, at: Position) -> float:
        """The part of the budget that is spent."""
        budget = self.spec.budget
        if budget.seconds is not None:
            return min(1.0, self.train_seconds / budget.seconds)
        if budget.tokens is not None:
            return min(1.0, at.tokens / budget.tokens)
        assert self.loader.steps is not None
        return at.step / self.loader.steps

    def _one_step(self, batch: Batch, fresh: bool, after: Position) -> torch.Tensor:
        before = Moment(after.step - 1, self.progress(after))
        if fresh or not self.data.carried:
            self.state = None
            self.memory.clear()
        self.optimizer.zero_grad(set_to_none=True)
        step = training_step(
            self.model,
            self.tricks,
            batch,
            self.state,
            before,
            carried=self.data.carried,
            optimizer=self.optimizer,
            memory=self.memory,
            ranks=self.ranks,
        )
        self.optimizer.step()
        self.state = step.state
        return step.loss

    def _refuse_non_finite(self, values: list[float]) -> None:
        bad = next((i for i, v in enumerate(values) if not np.isfinite(v)), None)
        if bad is not None:
            step = self.loader.position.step - len(values) + bad + 1
            raise Ended(Status.NAN, f"the training loss is {values[bad]} at step {step}")
        if self.first_loss is None:
            self.first_loss = values[0]
        limit = DIVERGED * max(1.0, self.first_loss)
        if max(values) > limit:
            step = self.loader.position.step
            raise Ended(
                Status.DIVERGED, f"the training loss rose to {max(values):.3g} by step {step}"
            )

    def _log_training(self) -> None:
        """At the end of a pack, wherever the run was saved or taken up inside of it."""
        at, every = self.loader.position, self.settings.log_every
        mean = sum(self.recent) / len(self.recent)
        begun = max((at.step - 1) // n * n for n in (PACK, self.spec.budget.validate_every))
        if at.step // every > begun // every:
            rate = self.optimizer.param_groups[0]["lr"]
            self.telemetry.log(at, self.train_seconds, {"train_loss": mean, "lr": rate})
        if self.on_step is not None:
            self.on_step(at, mean, self.progress(at))

    def _better(self, value: float) -> bool:
        if self.best["value"] is None:
            return True
        higher = self.selection is not None and self.selection.higher_is_better
        return value > self.best["value"] if higher else value < self.best["value"]

    def validate(
        self, split: str, full: bool, examples: int = 0, model: Model | None = None
    ) -> Any:
        """Metrics of a split; with `full` all of the task's, otherwise the loss."""
        meter = self.task.meter(split) if full else None
        data = split_of(self.task, split, 0)
        asked = self.model if model is None else model
        began = time.monotonic()

        def look() -> None:
            if self.stop_signal is not None:
                raise self._interrupted(self.stop_signal, f"while evaluating on {split}, ")

        drawn = self.drawn if examples else None
        given = (asked, self.task, data, meter, self.device)
        metrics, shown = evaluate(*given, examples, look, drawn)
        self.validation_seconds = time.monotonic() - began
        self.meter = meter or self.meter
        return (metrics, shown) if examples else metrics

    def _save(self) -> None:
        mine = {"carried": self.state, "memory": self.memory}
        shares = [mine] if self.ranks is None else self.ranks.collect(mine)
        if shares is not None:
            checkpoint.save(self.folder, resume.state_of(self, shares))
            self.kept()
        self.saved = time.monotonic()


def fit(run: Training) -> None:
    """Train to the end of the budget, from the last checkpoint on where there is one."""
    saved = checkpoint.load(run.folder)
    if saved is not None:
        resume.restore(run, saved)
        if run.spent and run.due:  # stopped between its last step and its last validation
            run.close_round()
        if run.ended:  # ... or between that and its record
            return
    precision: Any = "bf16-mixed" if run.spec.optimizer.precision == "bf16" else "32-true"
    gpu = process.on_gpu(run.settings)
    with process.quietly(), process.kernels_for(run.spec.optimizer.precision):
        lightning = pl.Trainer(
            accelerator="cpu" if run.ranks is not None and not gpu else run.settings.accelerator,
            devices=[torch.cuda.current_device()] if gpu else 1,
            # Under Slurm, Lightning would take the job's tasks for ranks, and requeue it by itself.
            plugins=[LightningEnvironment()],
            precision=precision,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        # Its handler of SIGTERM would end the process between two batches, with exit code 0.
        connector: Any = lightning._signal_connector
        connector.register_signal_handlers = lambda: None
        lightning.fit(run, train_dataloaders=run.loader)
