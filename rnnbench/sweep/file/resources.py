"""The resources that one trial takes of a machine: the key `resources` of a sweep file."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from rnnbench.contract.settings import setting
from rnnbench.errors import SpecError, SweepError
from rnnbench.files.yaml_with_lines import Place
from rnnbench.spec.fill import fill
from rnnbench.sweep.file.reader import Reader

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{u}I": 1024**i for i, u in enumerate("KMGT", 1)}


@dataclass(frozen=True)
class _Amounts:
    cpus: float = setting(1.0, "CPU cores; a fraction shares one", low=0.0)
    gpus: float | None = setting(
        None, "GPUs, a fraction shares one; null: trainer.devices where there are GPUs", low=0.0
    )
    memory: int | None = setting(None, "memory of one trial, such as 4GB", unit="bytes", low=1)
    placement: Literal["pack", "spread"] = setting(
        "pack", "of trials over nodes: fill one after another, or go round"
    )


@dataclass(frozen=True)
class Resources(_Amounts):
    """The resources of a trial. On one machine `gpus` and `memory` count; on Ray all of them.

    Attributes:
        memory: in bytes; a trial that holds more is ended, and fails as out of memory.
        labels: a node must have all of these (Ray's node labels), such as
            {"ray.io/accelerator-type": "H100"}.
    """

    labels: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"resources.{name} is a number from 0 on, got {value!r}")
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(
                f"resources.gpus: a trial takes a part of one GPU or whole ones, got {self.gpus}"
            )

    def as_ray(self, devices: int) -> dict[str, Any]:
        """Return the options of a Ray actor that takes these resources.

        Args:
            devices: number of GPUs where the file does not say.
        """
        options: dict[str, Any] = {
            "num_cpus": self.cpus,
            "num_gpus": devices if self.gpus is None else self.gpus,
            "scheduling_strategy": "SPREAD" if self.placement == "spread" else "DEFAULT",
        }
        return options if self.memory is None else {**options, "memory": self.memory}


def read_resources(reader: Reader, place: Place, value: Any) -> Resources:
    """Read the key `resources` of a sweep file.

    Raises:
        SweepError: it cannot be as it is; the message names file and line.
    """
    known = [f.name for f in dataclasses.fields(Resources)]
    entries = dict(reader.mapping(place, value, known))
    places = {f"resources.{name}": reader.text.at(*place, name) for name in entries}
    labels = reader.mapping((*place, "labels"), entries.pop("labels", {}), None)
    for name, label in labels.items():
        if not isinstance(label, str):
            raise reader.error((*place, "labels", name), f"a label is text, got {label!r}")
    try:
        if entries.get("memory") is not None:
            entries["memory"] = read_bytes(entries["memory"])
        amounts = fill(_Amounts, entries, "resources", places)
        return Resources(**dataclasses.asdict(amounts), labels=labels)
    except SpecError as error:
        raise SweepError(str(error)) from error
    except ValueError as error:
        raise reader.error(place, str(error)) from error


def read_bytes(value: Any) -> int:
    """Return the bytes that "4GB", "512 MiB" or a number of bytes means.

    Raises:
        ValueError: it means none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?)?B?\s*", str(value).upper())
    size = float(match[1]) * UNITS[match[2] or ""] if match else 0
    if size < 1:
        raise ValueError(
            f"{value!r} is no amount of memory; write 4GB, 512MiB or a number of bytes"
        )
    return int(size)
