"""One training step on several devices: each takes some rows of the batch, and all step alike.

Every rank makes the whole batch, lets the tricks at the site `batch` change it, and learns from
its own rows. Gradients are summed with the rows' share of the counted targets as weights, so that
they are those of one device up to rounding, whatever the rests. Noise is keyed: what is drawn
inside a forward pass differs from rank to rank, all other draws are the same everywhere.

Lightning's DDP strategy is not used: it sums gradients in hooks of a forward pass through its
wrapper, and averages ranks as if their rows counted alike; estimators that write `.grad` by
themselves, parts of a batch and uneven rests would all be wrong in silence.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from rnnbench.contract import Batch
from rnnbench.nn import Model
from rnnbench.nn.models.base import IGNORED
from rnnbench.training.determinism import seed_everything

# Ranks wait for validations of any length; a rank that dies is seen by the process above them.
PATIENCE = datetime.timedelta(days=30)


class Decision(NamedTuple):
    """What all ranks do after a step, as the first of them says."""

    stop: int  # number of a signal, 0 for none
    over: int  # the budget in seconds is spent
    save: int  # a checkpoint is due


class OneProcess:
    """The same phases of noise on one process with the whole batch: what ranks must agree with.

    Args:
        salt: gives the noise of forward passes another key, and no other noise.
    """

    rank, world = 0, 1

    def __init__(self, seed: int, salt: int = 0) -> None:
        self.seed, self._salt = seed, salt
        self._step = self._draws = 0
        self.rows = True  # this rank has rows of the batch at hand
        self.weight: Tensor | None = None  # its share of the targets

    def begin(self, step: int) -> None:
        """Noise that all ranks share, until `share`."""
        self._step, self._draws = step, 0
        self.common()

    def common(self) -> None:
        self._draws += 1
        seed_everything(self._key(0))

    def own(self) -> None:
        """Noise of this rank alone, from here on."""
        self._draws += 1
        seed_everything(self._key(1 + self.rank + self.world * self._salt))

    def _key(self, who: int) -> int:
        key = np.random.SeedSequence([self.seed, self._step, self._draws, who])
        return int(key.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def share(self, model: Model, batch: Batch) -> Batch:
        """This rank's rows; noise is its own from here on."""
        self.own()
        return batch

    def sum_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Make `.grad` that of the whole batch; noise is common from here on."""
        self.common()


class Ranks(OneProcess):
    """One of the processes of a run on several devices.

    Args:
        store: where the processes find each other.
    """

    def __init__(self, rank: int, world: int, seed: int, store: dist.Store, gpu: bool) -> None:
        super().__init__(seed)
        self.rank, self.world = rank, world
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)

    def share(self, model: Model, batch: Batch) -> Batch:
        count = len(batch.x)
        base, extra = divmod(count, self.world)
        first = self.rank * base + min(self.rank, extra)
        end = first + base + (self.rank < extra)
        self.rows = end > first
        if not self.rows:  # a rest with fewer rows than ranks: a row to compute on, for nothing
            first, end = 0, 1
        gold = model.gold(batch)
        counted = (gold != IGNORED) if model.target.classes else ~gold.isnan()
        counted_B = counted.reshape(count, -1).sum(1)
        self.weight = counted_B[first:end].sum() / counted_B.sum().clamp(min=1)
        if not self.rows:
            self.weight = torch.zeros_like(self.weight)
        self.own()
        return Batch._make(v[first:end] if isinstance(v, Tensor) else v for v in batch)

    def sum_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        assert self.weight is not None
        kinds: dict[torch.dtype, list[torch.nn.Parameter]] = {}
        for p in parameters:
            if p.requires_grad:
                kinds.setdefault(p.dtype, []).append(p)
        for some in kinds.values():
            self._sum(some, self.weight)
        self.common()

    def _sum(self, parameters: list[torch.nn.Parameter], weight: Tensor) -> None:
        """One message for all gradients, and for which parameters have one on some rank."""
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        has = torch.tensor([p.grad is not None for p in parameters], device=grads[0].device)
        flat = torch.cat([g.reshape(-1) for g in grads])
        # A rank without rows adds nothing, whatever its stand-in row gave.
        flat = flat * weight.to(flat.real.dtype) if self.rows else torch.zeros_like(flat)
        message = torch.cat([flat, has.to(flat.dtype)])
        sent = torch.view_as_real(message) if message.is_complex() else message
        dist.all_reduce(sent)
        everywhere = all(p.grad is not None for p in parameters)
        somewhere = None if everywhere else message[len(flat) :].real.gt(0).tolist()
        at = 0
        for i, p in enumerate(parameters):
            if somewhere is None or somewhere[i]:
                p.grad = message[at : at + p.numel()].view_as(p).clone()
            at += p.numel()

    def losses(self, values: Tensor, weights: Tensor) -> list[float]:
        """Losses of whole batches, from this rank's and its shares of the targets."""
        # An idle rank's loss may be anything.
        mine = torch.where(weights > 0, values.double() * weights, 0.0).cpu()
        dist.all_reduce(mine)
        return mine.tolist()

    def decide(self, mine: Decision) -> Decision:
        told = torch.tensor(mine, dtype=torch.int64)
        dist.broadcast(told, 0)
        return Decision(*told.tolist())

    def tell(self, value: Any) -> Any:
        """What the first rank says, to all."""
        box = [value]
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        return box[0]

    def collect(self, value: Any) -> list[Any] | None:
        """What all ranks say, to the first; None to the others."""
        found: list[Any] | None = [None] * self.world if self.rank == 0 else None
        # Pickled through the host's memory, by the processes of one run.
        dist.gather_object(value, found, 0)
        return found
