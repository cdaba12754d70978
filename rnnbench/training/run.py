"""A run as it trains: steps in packs, validations in rounds, checkpoints, and going on from them.

`lightning_module.train` drives it: it hands packs of batches to `Training.take_pack`, and between
the rounds calls `Training.close_round`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Meter, Moment, State, WrappedOptimizer
from rnnbench.nn import Model
from rnnbench.nn.models.output_lengths import OutputLengths
from rnnbench.results.record import Status
from rnnbench.spec.instantiate import Plugins, instantiate
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training import checkpoint
from rnnbench.training.determinism import (
    as_plain,
    random_state,
    seed_everything,
    set_random_state,
    to_device,
)
from rnnbench.training.devices.data_parallel import (
    ONE_PROCESS,
    DataParallel,
    Decision,
    share_of_rank,
)
from rnnbench.training.devices.split_check import try_split
from rnnbench.training.evaluate import Evaluation, evaluate
from rnnbench.training.gradient_norms import gradient_flow
from rnnbench.training.loader import PACK, Loader, Pack, Position, split_of
from rnnbench.training.logs import Telemetry
from rnnbench.training.progress import OnStep, OnValidation, TrainingProgress
from rnnbench.training.stopping import Ended
from rnnbench.training.train_step import (
    TrainStep,
    TrickFold,
    assemble,
    averaged,
    constrain,
    make_optimizer,
)


class Training:
    """A run as it trains: its model, its optimiser, and where it stands.

    Attributes:
        device: where the model is.
        state: the model's, carried from batch to batch of a stream.
        split: how the run was found to split over devices; "" on one.
        drawn: what can be drawn of the first items, after a validation with examples.
        meter: of the last full evaluation.
        lengths: of the outputs of the last evaluation.
        kept: called after each checkpoint.
    """

    def __init__(
        self,
        spec: RunSpec,
        trainer: Trainer,
        folder: Path,
        telemetry: Telemetry,
        on_validation: OnValidation | None = None,
        on_step: OnStep | None = None,
        ranks: DataParallel = ONE_PROCESS,
        plugins: Plugins | None = None,
    ):
        self.spec, self.settings, self.folder, self.telemetry = spec, trainer, folder, telemetry
        self.on_validation, self.on_step, self.ranks = on_validation, on_step, ranks
        self.task, self.architecture, tricks = plugins or instantiate(spec)
        self.data = split_of(self.task, "train", spec.seed)
        self.split = ""
        if ranks.world > 1:
            self.split = try_split(spec, self.task, self.architecture, tricks, self.data, ranks)
        self.tricks = TrickFold(tricks)
        seed_everything(spec.seed)
        self.model: Model = assemble(self.architecture, self.task, self.tricks)
        self.optimizer = make_optimizer(spec.optimizer, self.model.parameters(), self.tricks)
        self.parameters_count = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.step = TrainStep(
            self.model, self.tricks, self.data.carried, self.optimizer, ranks=ranks
        )
        self.loader = Loader.of_run(spec, self.data)
        self.selection = next((m for m in self.task.metrics if m.name == self.task.selection), None)
        self.higher_is_better = self.selection is not None and self.selection.higher_is_better
        self.device = torch.device("cpu")
        self.state: State = None
        self.progress = TrainingProgress()
        self.drawn: list[dict[str, Any]] = []
        self.meter: Meter | None = None
        self.lengths = OutputLengths(self.task.target)
        self.stop_signal: int | None = None
        self.saved = self._began = time.monotonic()
        self.validation_seconds = 0.0  # of the last one
        self.kept: Callable[[], None] = lambda: None

    def to(self, device: torch.device) -> None:
        """Move the model, and what is carried from batch to batch, to a device."""
        self.model.to(device)
        self.device = device
        self.state = to_device(self.state, device)
        self.step.memory = to_device(self.step.memory, device)

    # -------------------------------------------------------------------------------- its steps

    def take_pack(self, pack: Pack) -> None:
        """Take the steps of a pack; save, stop or end between two of them where that is due."""
        if self.spent:  # Lightning has one more pack at hand when a budget in seconds ends
            return
        self._began, losses, weights = time.perf_counter(), [], []
        for i, (batch, fresh) in enumerate(zip(pack.batches, pack.fresh, strict=True)):
            losses.append(self._one_step(batch, fresh, pack.after[i]))
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

    def _one_step(self, batch: Batch, fresh: bool, after: Position) -> Tensor:
        before = Moment(after.step - 1, self.loader.part_spent(after, self.train_seconds))
        if fresh or not self.data.carried:
            self.state = None
            self.step.memory.clear()
        self.optimizer.zero_grad(set_to_none=True)
        outcome = self.step.take(batch, self.state, before)
        self.optimizer.step()
        constrain(self.model)
        self.state = outcome.state
        return outcome.loss

    def _decide(self) -> Decision:
        """Return what to do after the step at hand; the first rank's watch counts."""
        seconds, every = self.spec.budget.seconds, self.settings.checkpoint_seconds
        so_far = self.train_seconds + time.perf_counter() - self._began
        return self.ranks.decide(
            Decision(
                stop=self.stop_signal or 0,
                over=seconds is not None and so_far >= seconds,
                save=every is not None and time.monotonic() - self.saved >= every,
            )
        )

    def _settle(
        self, losses: list[Tensor], weights: list[Tensor | None], at: Position, *, whole: bool
    ) -> None:
        """Account for the steps up to a position; a pack that is not whole goes on after it."""
        values = self.ranks.whole_losses(torch.stack(losses), weights)  # waits for the device
        progress = self.progress
        progress.train_seconds += time.perf_counter() - self._began
        self._began = time.perf_counter()
        # Schedules and budgets read one clock.
        progress.train_seconds = self.ranks.tell(progress.train_seconds)
        self.loader.position = at
        self.loader.stopped = self.spent
        progress.add_losses(values, at.step)
        if self.due:  # kept with a checkpoint, since a run may be taken up between step and round
            progress.flow = gradient_flow(self.model)
        progress.remember_losses(values, self.settings.log_every)
        if whole:
            self._log_training()

    def _log_training(self) -> None:
        """Log at the end of a pack, wherever the run was saved or taken up inside of it."""
        at, every, mean = self.loader.position, self.settings.log_every, self.progress.mean_loss
        assert mean is not None
        begun = max((at.step - 1) // n * n for n in (PACK, self.spec.budget.validate_every))
        if at.step // every > begun // every:
            rate = self.optimizer.param_groups[0]["lr"]
            self.telemetry.log(at, self.train_seconds, {"train_loss": mean, "lr": rate})
        if self.on_step is not None:
            self.on_step(at, mean, self.loader.part_spent(at, self.train_seconds))

    # ------------------------------------------------------------------------- its end of a round

    @property
    def train_seconds(self) -> float:
        return self.progress.train_seconds

    @property
    def spent(self) -> bool:
        """Tell whether the budget is used up."""
        return self.loader.spent(self.loader.position, self.train_seconds)

    @property
    def due(self) -> bool:
        """Tell whether a validation is due and has not been made."""
        step, curve = self.loader.position.step, self.progress.curve
        ends = step % self.spec.budget.validate_every == 0 or self.spent
        return step > 0 and ends and (not curve or curve[-1][0] != step)

    def close_round(self) -> None:
        """Validate, choose, save; the run has ended where its budget or its patience has."""
        if self._overdue:
            self._save()
        noise = random_state()
        try:
            with averaged(self.optimizer):
                metrics, unmeasurable = self.ranks.agree(self._look_at_validation)
        except Ended:
            set_random_state(noise)  # it is validated anew, as if never begun
            self._save()
            raise
        value, at, progress = metrics[self.task.selection], self.loader.position, self.progress
        progress.unmeasurable = unmeasurable
        figures = {**metrics, "train_loss": progress.mean_loss, **progress.flow}
        progress.curve.append([at.step, self.train_seconds, figures])
        self.telemetry.log(at, self.train_seconds, {f"valid_{k}": v for k, v in metrics.items()})
        if not np.isfinite(value):
            raise Ended(
                Status.NAN, f"validation {self.task.selection} is {value} at step {at.step}"
            )
        higher = self.higher_is_better
        better, value = progress.choose(self.task.selection, higher_is_better=higher)
        if better:
            with averaged(self.optimizer):
                weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            progress.best_weights = weights
        if isinstance(self.optimizer, WrappedOptimizer):
            self.optimizer.observe(-value if higher else value, better)
        patience = self.spec.budget.patience
        progress.ended = self.spent or (patience is not None and progress.best["stale"] >= patience)
        self._save()
        if progress.ended:
            return
        asks = self.on_validation
        if self.ranks.agree(lambda: asks is not None and asks(at.step, value)):
            raise Ended(Status.PRUNED, f"by the search, at step {at.step}")

    def _look_at_validation(self) -> tuple[dict[str, float], str]:
        """Return the metrics on validation, and why the selecting one can tell nothing, if so.

        Where the loss selects, metrics that need no decoding are measured too, for the history.
        """
        full = self.selection is not None or not self.task.meter("valid").decodes
        metrics = self.validate("valid", full=full).metrics
        known = self.meter.unmeasurable if self.selection is not None and self.meter else {}
        return metrics, known.get(self.task.selection, "")

    def validate(
        self, split: str, full: bool, examples: int = 0, model: Model | None = None
    ) -> Evaluation:
        """Evaluate on a split.

        Args:
            full: measure all of the task's metrics, else the loss alone.
            examples: how many to show at most, and to draw.
            model: another one than that in training.

        Raises:
            Ended: a signal asked to stop.
        """
        meter = self.task.meter(split) if full else None
        data = split_of(self.task, split, 0)
        evaluated = self.model if model is None else model
        began = time.monotonic()

        def look() -> None:
            if self.stop_signal is not None:
                raise self._interrupted(self.stop_signal, f"while evaluating on {split}, ")

        drawn = self.drawn if examples else None
        self.lengths = OutputLengths(self.task.target)
        evaluation = evaluate(
            evaluated, self.task, data, meter, self.device, examples, look, drawn, self.lengths
        )
        self.validation_seconds = time.monotonic() - began
        self.meter = meter or self.meter
        return evaluation

    # --------------------------------------------------------------------- stopping and going on

    def ask_to_stop(self, number: int) -> None:
        """End after the step at hand, for a signal of this number."""
        self.stop_signal = number

    def _interrupted(self, number: int, doing: str = "") -> Ended:
        name = signal.Signals(number).name
        where = f"at step {self.loader.position.step}"
        return Ended(Status.INTERRUPTED, f"{name} {doing}{where}", number)

    @property
    def _overdue(self) -> bool:
        """Tell whether a validation as long as the last one ends after a checkpoint is due."""
        every = self.settings.checkpoint_seconds
        late = every is not None and (
            time.monotonic() - self.saved + self.validation_seconds >= every
        )
        return self.ranks.agree(lambda: late)

    def _save(self) -> None:
        """Write a checkpoint, on the first rank."""
        carried = as_plain({"carried": self.state, "memory": self.step.memory})
        shares = self.ranks.collect(carried)
        if shares is not None:
            checkpoint.save(self.folder, self._state_of_run(shares))
            self.kept()
        self.saved = time.monotonic()

    def _state_of_run(self, shares: list[dict[str, Any]]) -> dict[str, Any]:
        """Return everything that the rest of the run depends on.

        Args:
            shares: what each rank carries from batch to batch.
        """
        return {
            "run_id": self.spec.run_id,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "position": tuple(self.loader.position),
            "shares": shares,
            **self.progress.state_dict(),
            "random": random_state(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Put the run where its checkpoint says, on the device where it is.

        Raises:
            Refusal: it stood on another number of devices, and its rows cannot be dealt anew.
        """
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loader.position = Position(*saved["position"])
        share = share_of_rank(saved["shares"], self.ranks, self.folder)
        self.state = to_device(share["carried"], self.device)
        self.step.memory = to_device(share["memory"], self.device)
        self.progress.load_state_dict(saved)
        self.telemetry.rewind(self.loader.position.step)
        set_random_state(saved["random"])
