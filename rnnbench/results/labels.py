"""Names a user's data in records: where labels stand, and how they are written anew.

A record keeps the label in its provenance, beside other facts that change no figure. All runs of a
data set have one label, so that no board has two names: a new one is written into all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from rnnbench.results.record import Record
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import PluginSpec, RunSpec

LABEL = "label"  # in a record's provenance
DATA_CARD = "data_card"  # in that of a run on a user's own data, see `contract.data_card`


def label_of(spec: RunSpec) -> dict[str, str]:
    """Return what a record's provenance says of the label: nothing where there is none."""
    return {LABEL: spec.label} if spec.label else {}


def label_in(record: Record) -> str:
    """Return the label of the data set that a record is of; "" where it has none."""
    label: Any = record.provenance.get(LABEL)
    return label if isinstance(label, str) else ""


def relabel(store: Store, task: PluginSpec, data: str, label: str) -> int:
    """Write a label into all records of a task with these settings and this version of its data.

    Args:
        label: "" changes nothing.
    Returns:
        How many records had another label, or none.
    Raises:
        OSError: a record cannot be written; it is as it was.
    """
    if not label:
        return 0
    changed = 0
    for record in list(store.records(task=task.name)):
        same = record.spec.task == task and record.spec.data == data
        if same and label_in(record) != label:
            provenance = record.provenance | {LABEL: label}
            changed += store.write(dataclasses.replace(record, provenance=provenance))
    return changed
