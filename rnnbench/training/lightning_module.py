"""Drives a run by Lightning, which brings devices and precision.

Only this module imports Lightning. Its own account of epochs and batches is not used: a Lightning
epoch is the stretch between two validations (a round), a Lightning batch is a pack of optimiser
steps, and `Loader` begins wherever a checkpoint says, since Lightning's mid-epoch resume replays
data and restores no random state.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from rnnbench.training import checkpoint
from rnnbench.training.determinism import kernels_for, on_gpu, quietly, seed_everything
from rnnbench.training.loader import Pack
from rnnbench.training.run import Training


def train(run: Training) -> None:
    """Take steps and validate to the end of the budget, from the last checkpoint if there is one.

    Raises:
        Ended: before its budget was used up.
    """
    gpu = on_gpu(run.settings)
    device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    run.to(device)  # before a checkpoint is taken up, which is restored to where the model is
    # Noise in training has a generator state of its own, whatever the initialisation drew.
    seed_everything(run.spec.seed + 2**31)
    saved = checkpoint.load(run.folder)
    with quietly(), kernels_for(run.spec.optimizer.precision):
        if saved is not None:
            run.restore(saved)
            if run.due:  # stopped between the last step of a round and its validation
                run.close_round()
            if run.progress.ended:  # ... or between the last validation and the record
                return
        _make_loop(run, gpu=gpu).fit(LightningRun(run), train_dataloaders=run.loader)
    run.to(device)  # Lightning takes the model back to the CPU when it ends


class LightningRun(pl.LightningModule):
    """A run as Lightning sees it."""

    def __init__(self, run: Training) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = run.model  # so that Lightning finds the parameters
        self.run = run

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.run.optimizer

    def transfer_batch_to_device(self, batch: Pack, device: torch.device, _: int) -> Pack:
        return batch.to(device)

    def on_fit_start(self) -> None:
        self.run.to(self.device)  # that of an accelerator which only Lightning knows

    def training_step(self, pack: Pack, _: int) -> None:
        self.run.take_pack(pack)

    def on_train_epoch_end(self) -> None:
        if self.run.due:
            self.run.close_round()
            self.trainer.should_stop = self.run.progress.ended


def _make_loop(run: Training, *, gpu: bool) -> pl.Trainer:
    """Return Lightning's loop, without all that a run does by itself."""
    loop = pl.Trainer(
        accelerator="cpu" if run.ranks.world > 1 and not gpu else run.settings.accelerator,
        devices=[torch.cuda.current_device()] if gpu else 1,
        # Under Slurm, Lightning would take the job's tasks for ranks, and requeue it by itself.
        plugins=[LightningEnvironment()],
        precision="bf16-mixed" if run.spec.optimizer.precision == "bf16" else "32-true",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    # Its handler of SIGTERM would end the process between two batches, with exit code 0.
    connector: Any = loop._signal_connector
    connector.register_signal_handlers = lambda: None
    return loop
