"""Writes and reads checkpoints: whole or not at all, verified, the last two kept."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from rnnbench.files.atomic import stage_file, sweep_staged
from rnnbench.results.run_folder import CHECKPOINTS


class CheckpointError(OSError):
    """A checkpoint could not be written or read; what was there before is intact."""


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Write `state` (tensors, numbers, text and containers of these) as the last checkpoint.

    The one before is kept. The file is staged beside its place, flushed to the disk, and then
    renamed; its sha256 is the file's first line, so that a flipped bit is seen.

    Raises:
        CheckpointError: no space or no permission; the earlier checkpoints are as they were.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    last, previous = (folder / name for name in CHECKPOINTS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < 2 * len(content):
            raise CheckpointError(
                f"{folder}: {free:,} bytes are free and a checkpoint takes {len(content):,}; "
                "make room, then run the same command again: it goes on from the last checkpoint"
            )
        staged = stage_file(last, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        if last.exists():
            os.replace(last, previous)
        staged.commit()
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot write {last}: {error}") from error
    return last


def load(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole, or None where there is none."""
    for name in CHECKPOINTS:
        path = folder / name
        if not path.is_file():
            continue
        digest, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == digest:
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return None


def clear(folder: Path) -> None:
    """Remove the checkpoints of a finished run."""
    for name in CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)
        sweep_staged(folder / name)
