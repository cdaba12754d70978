"""What a checkpoint holds of a run, and how a run takes it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnbench.contract import Refusal
from rnnbench.training.determinism import random_state, set_random_state, to_device
from rnnbench.training.loader import Position

if TYPE_CHECKING:
    from rnnbench.training.lightning_module import Training


def state_of(run: Training, shares: list[Any]) -> dict[str, Any]:
    """Everything that the rest of a run depends on.

    Args:
        shares: what each rank carries from batch to batch.
    """
    return {
        "run_id": run.spec.run_id,
        "model": run.model.state_dict(),
        "best_weights": run.best_weights,
        "optimizer": run.optimizer.state_dict(),
        "position": tuple(run.loader.position),
        "shares": shares,
        "best": run.best,
        "curve": run.curve,
        "flow": run.flow,
        "recent": run.recent,
        "first_loss": run.first_loss,
        "ended": run.ended,
        "train_seconds": run.train_seconds,
        "random": random_state(),
    }


def restore(run: Training, saved: dict[str, Any]) -> None:
    """Put a run where its checkpoint says.

    Raises:
        Refusal: it stood on another number of devices, and its rows cannot be dealt anew.
    """
    run.model.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.loader.position = Position(*saved["position"])
    mine = _share_of(run, saved["shares"])
    run.state = to_device(mine["carried"], run.device)
    run.memory = to_device(mine["memory"], run.device)
    run.best_weights = saved["best_weights"]
    run.best, run.curve, run.recent = saved["best"], saved["curve"], saved["recent"]
    run.flow = saved.get("flow", {})
    run.train_seconds, run.first_loss = saved["train_seconds"], saved["first_loss"]
    run.ended = saved["ended"]
    run.telemetry.rewind(run.loader.position.step)
    set_random_state(saved["random"])


def _share_of(run: Training, shares: list[dict[str, Any]]) -> dict[str, Any]:
    rank, world = (0, 1) if run.ranks is None else (run.ranks.rank, run.ranks.world)
    if len(shares) == world:
        return shares[rank]
    if any(share["carried"] is not None or share["memory"] for share in shares):
        raise Refusal(
            f"trainer.devices={world}: this run was stopped on {len(shares)} devices, each of "
            f"which carries a state of its own.\n  Go on with trainer.devices={len(shares)}, or "
            f"remove its folder to begin anew: {run.folder}"
        )
    return shares[0]
