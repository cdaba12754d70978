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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from rnnbench.contract import Batch, Refusal
from rnnbench.nn import Model
from rnnbench.nn.models.base import IGNORED
from rnnbench.training.determinism import seed_everything
from rnnbench.training.stopping import Ended

T = TypeVar("T")

# Ranks wait for validations of any length; a rank that dies is seen by the process above them.
PATIENCE = datetime.timedelta(days=30)


class Decision(NamedTuple):
    """A decision on how to go on after a step, made by the first rank for all."""

    stop: int  # number of a signal, 0 for none
    over: int  # the budget in seconds is spent
    save: int  # a checkpoint is due


class DataParallel(Protocol):
    """The processes that share each batch of a run, as one of them sees the others.

    A step calls `begin`, then `share` on its batch, then `sum_gradients` before each step of the
    optimiser; `own` and `common` say whose noise is drawn from there on.

    Attributes:
        rank: number of this process, from 0.
        world: how many processes there are.
        weight: after `share`, this rank's part of the batch's counted targets, 0 to 1; None where
            one process has them all.
    """

    rank: int
    world: int
    weight: Tensor | None

    def begin(self, step: int) -> None:
        """Begin an optimiser step: noise is common to all ranks until `share`."""
        ...

    def common(self) -> None:
        """Draw noise that is the same on all ranks from here on."""
        ...

    def own(self) -> None:
        """Draw noise of this rank alone from here on."""
        ...

    def share(self, model: Model, batch: Batch) -> Batch:
        """Return this rank's rows of the batch; noise is its own from here on."""
        ...

    def sum_gradients(self, model: Model) -> None:
        """Make `.grad` that of the whole batch; noise is common from here on."""
        ...

    def whole_losses(self, losses: Tensor, weights: Sequence[Tensor | None]) -> list[float]:
        """Return the losses of whole batches from this rank's, and its `weight` in each."""
        ...

    def decide(self, proposal: Decision) -> Decision:
        """Return the first rank's proposal."""
        ...

    def tell(self, value: T) -> T:
        """Return the first rank's value."""
        ...

    def agree(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns on the first rank; where it raises `Ended`, raise it on all.

        The other ranks do not call `ask`.
        """
        ...

    def collect(self, value: T) -> list[T] | None:
        """Return the values of all ranks on the first one, and None on the others."""
        ...


class OneProcess:
    """A run in one process, which has every batch to itself: nothing to share or to agree on."""

    rank, world = 0, 1
    weight: Tensor | None = None

    def begin(self, step: int) -> None:
        pass

    def common(self) -> None:
        pass

    def own(self) -> None:
        pass

    def share(self, model: Model, batch: Batch) -> Batch:
        return batch

    def sum_gradients(self, model: Model) -> None:
        pass

    def whole_losses(self, losses: Tensor, weights: Sequence[Tensor | None]) -> list[float]:
        return losses.tolist()

    def decide(self, proposal: Decision) -> Decision:
        return proposal

    def tell(self, value: T) -> T:
        return value

    def agree(self, ask: Callable[[], T]) -> T:
        return ask()

    def collect(self, value: T) -> list[T] | None:
        return [value]


ONE_PROCESS = OneProcess()  # it has no state, so all runs share it


class KeyedNoise(OneProcess):
    """One process with the whole batch that draws noise by key, as ranks do.

    `split_check` compares ranks with it.

    Args:
        seed: the run's.
        salt: gives the noise of forward passes another key, and no other noise.
    """

    def __init__(self, seed: int, salt: int = 0) -> None:
        self.seed, self._salt = seed, salt
        self._step = self._draws = 0

    def begin(self, step: int) -> None:
        self._step, self._draws = step, 0
        self.common()

    def common(self) -> None:
        self._draws += 1
        seed_everything(self._key(0))

    def own(self) -> None:
        self._draws += 1
        seed_everything(self._key(1 + self.rank + self.world * self._salt))

    def _key(self, who: int) -> int:
        """Return a seed of the step, of how often noise changed hands in it, and of `who` draws."""
        key = np.random.SeedSequence([self.seed, self._step, self._draws, who])
        return int(key.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def share(self, model: Model, batch: Batch) -> Batch:
        self.own()
        return batch

    def sum_gradients(self, model: Model) -> None:
        self.common()


class Ranks(KeyedNoise):
    """One of the processes of a run on several devices.

    Args:
        store: where the processes find each other.
    """

    def __init__(self, rank: int, world: int, seed: int, store: dist.Store, gpu: bool) -> None:
        super().__init__(seed)
        self.rank, self.world = rank, world
        self.has_rows = True  # of the batch at hand
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)

    def share(self, model: Model, batch: Batch) -> Batch:
        count = len(batch.x)
        base, extra = divmod(count, self.world)
        first = self.rank * base + min(self.rank, extra)
        end = first + base + (self.rank < extra)
        self.has_rows = end > first
        if not self.has_rows:
            # The last batch has fewer rows than ranks: use a dummy row with weight 0.
            first, end = 0, 1
        gold = model.gold(batch)
        counted = (gold != IGNORED) if model.target.classes else ~gold.isnan()
        counted_B = counted.reshape(count, -1).sum(1)
        self.weight = counted_B[first:end].sum() / counted_B.sum().clamp(min=1)
        if not self.has_rows:
            self.weight = torch.zeros_like(self.weight)
        self.own()
        return Batch._make(v[first:end] if isinstance(v, Tensor) else v for v in batch)

    def sum_gradients(self, model: Model) -> None:
        assert self.weight is not None
        by_dtype: dict[torch.dtype, list[torch.nn.Parameter]] = {}
        for p in model.parameters():
            if p.requires_grad:
                by_dtype.setdefault(p.dtype, []).append(p)
        for parameters in by_dtype.values():
            self._sum_of_one_dtype(parameters, self.weight)
        self.common()

    def _sum_of_one_dtype(self, parameters: list[torch.nn.Parameter], weight: Tensor) -> None:
        """Sum gradients in one message, which also says which parameters have one on some rank."""
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        has_grad = torch.tensor([p.grad is not None for p in parameters], device=grads[0].device)
        flat = torch.cat([g.reshape(-1) for g in grads])
        # A rank without rows adds nothing, whatever its dummy row gave.
        flat = flat * weight.to(flat.real.dtype) if self.has_rows else torch.zeros_like(flat)
        message = torch.cat([flat, has_grad.to(flat.dtype)])
        sent = torch.view_as_real(message) if message.is_complex() else message
        dist.all_reduce(sent)
        everywhere = all(p.grad is not None for p in parameters)
        somewhere = None if everywhere else message[len(flat) :].real.gt(0).tolist()
        at = 0
        for i, p in enumerate(parameters):
            if somewhere is None or somewhere[i]:
                p.grad = message[at : at + p.numel()].view_as(p).clone()
            at += p.numel()

    def whole_losses(self, losses: Tensor, weights: Sequence[Tensor | None]) -> list[float]:
        shares = torch.stack([w for w in weights if w is not None])
        # The loss of a rank without rows may be anything.
        weighted = torch.where(shares > 0, losses.double() * shares, 0.0).cpu()
        dist.all_reduce(weighted)
        return weighted.tolist()

    def decide(self, proposal: Decision) -> Decision:
        message = torch.tensor(proposal, dtype=torch.int64)
        dist.broadcast(message, 0)
        return Decision(*message.tolist())

    def tell(self, value: T) -> T:
        box = [value]
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        return box[0]

    def agree(self, ask: Callable[[], T]) -> T:
        answer: Any = None
        if self.rank == 0:
            try:
                answer = ask()
            except Ended as end:
                answer = end
        answer = self.tell(answer)
        if isinstance(answer, Ended):
            raise answer
        return answer

    def collect(self, value: T) -> list[T] | None:
        values: list[Any] | None = [None] * self.world if self.rank == 0 else None
        # Pickled through the host's memory, by the processes of one run.
        dist.gather_object(value, values, 0)
        return values


def share_of_rank(
    shares: list[dict[str, Any]], ranks: DataParallel, folder: Path
) -> dict[str, Any]:
    """Return what this rank carried from batch to batch, from the shares in a checkpoint.

    Args:
        shares: of each rank, {"carried": the model's state, "memory": the estimator's}.
        folder: of the run, for the message.

    Raises:
        Refusal: the checkpoint is of another number of devices, each with a state of its own.
    """
    if len(shares) == ranks.world:
        return shares[ranks.rank]
    if any(share["carried"] is not None or share["memory"] for share in shares):
        raise Refusal(
            f"trainer.devices={ranks.world}: this run was stopped on {len(shares)} devices, each "
            f"of which carries a state of its own.\n  Go on with trainer.devices={len(shares)}, "
            f"or remove its folder to begin anew: {folder}"
        )
    return shares[0]
