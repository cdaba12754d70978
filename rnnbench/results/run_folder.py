"""The names of the files in a run's folder, ROOT/runs/RUN_ID.

All but the checkpoints stay when the run has ended. This module imports nothing, so that whoever
writes or reads one of these files takes its name from here.
"""

from __future__ import annotations

RECORD = "record.json"
"""What the run was, how it ended, and its figures (`rnnbench.results.record`); written last."""

WEIGHTS = "weights.safetensors"
"""The weights of the best validation, as plain tensors without code."""

ITEM_SCORES = "items.json"
"""What each item of the test split added to the headline (`rnnbench.results.item_scores`)."""

EXAMPLES = "examples.json"
"""Attention maps, forecasts and a sample of text that the site draws."""

METRICS = "metrics.csv"
"""Everything that was logged while it trained, a line for each value."""

LOG = "log.txt"
"""What the attempts of a sweep's trial printed."""

ERROR = "error.txt"
"""The traceback of a crash, with keys and tokens masked."""

LAST_CHECKPOINT = "last.pt"
"""The state of training at the last checkpoint, from which an interrupted run goes on."""

PREVIOUS_CHECKPOINT = "previous.pt"
"""The checkpoint before the last, for when the last is damaged."""

CHECKPOINTS = (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT)
"""The checkpoints, newest first; they are removed once the record stands."""
