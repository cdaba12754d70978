"""A short training run for learning checks."""

import torch

from rnnbench.contract import Moment
from rnnbench.training.determinism import seed_everything
from rnnbench.training.evaluate import evaluate
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_tricks.clip import Clip


def figures_after(task, architecture, *, steps, rate, batch, seed=1, one_cycle=False):
    """Test figures after so many steps of Adam with clipping at 1, and the number of weights.

    `one_cycle`: the learning rate rises to `rate` in the first tenth, and falls to nothing.
    """
    seed_everything(seed)
    tricks = TrickFold([Clip(limit=1.0)])
    model = assemble(architecture, task, tricks)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    if one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps + 1, pct_start=0.1
        )
    data, rng, done = task.data("train", seed), torch.Generator().manual_seed(seed), 0
    while done < steps:
        for key in data.order(batch, rng)[: steps - done]:
            optimizer.zero_grad()
            at = Moment(done, done / steps)
            training_step(model.train(), tricks, data.batch(key, rng), None, at)
            optimizer.step()
            if one_cycle:
                schedule.step()
            done += 1
    meter, test = task.meter("test"), task.data("test", seed)
    figures, _ = evaluate(model.eval(), task, test, meter, torch.device("cpu"))
    return figures, sum(p.numel() for p in model.parameters())


def accuracy_after(task, architecture, **how):
    """Test accuracy, else as `figures_after`."""
    figures, weights = figures_after(task, architecture, **how)
    return figures["accuracy"], weights
