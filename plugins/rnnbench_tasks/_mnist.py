"""MNIST: what tasks share that read the same images in different orders and layouts."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Source, Task
from rnnbench.data.prepared import prepare
from rnnbench.errors import DataError
from rnnbench.metrics import Accuracy

SIDE = 28
_HELD_OUT = 5_000  # the last training images
_MNIST = Source(
    name="mnist",
    origin="https://ossci-datasets.s3.amazonaws.com/mnist/",
    files={
        "train-images-idx3-ubyte.gz": (
            "gunzipped:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte.gz": (
            "gunzipped:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "gunzipped:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "gunzipped:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    size=11_594_722,
    licence="CC BY-SA 3.0",
    citation="LeCun, Cortes & Burges, The MNIST database of handwritten digits",
)


class Images(Data):
    """Images kept as bytes, mapped from a file; a batch copies and scales its own only.

    Args:
        pixels_NP: bytes, in the order in which they are read.
        width: pixels of a step, which divide P.
    """

    def __init__(
        self,
        pixels_NP: np.ndarray,
        class_N: np.ndarray,
        width: int,
        order_P: np.ndarray | None = None,
        grid: tuple[int, ...] | None = None,
    ) -> None:
        self.pixels_NP, self.class_N, self.width = pixels_NP, class_N, width
        self.order_P, self.grid = order_P, grid

    def __len__(self) -> int:
        return len(self.class_N)

    def order(self, size: int, rng: torch.Generator | None) -> list[np.ndarray]:
        """Return numbers of up to `size` images; every image once."""
        n = len(self)
        index_N = np.arange(n) if rng is None else torch.randperm(n, generator=rng).numpy()
        return [index_N[i : i + size] for i in range(0, n, size)]

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        """Return x (B, P / width, width) in [0, 1] and y (B,)."""
        pixels_BP = self.pixels_NP[key]
        if self.order_P is not None:
            pixels_BP = pixels_BP[:, self.order_P]
        x = torch.from_numpy(pixels_BP.astype(np.float32) / 255)
        y = torch.from_numpy(self.class_N[key].astype(np.int64))
        return Batch(x.view(len(key), -1, self.width), y, grid=self.grid)


class MnistImages(Task):
    """A task that names the digit of a 28 by 28 image.

    Subclasses are dataclasses with the field `train_items` and write `source`, whose width divides
    the 784 pixels into steps; where its layout is a grid, batches say that it is 28 by 28.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="images named rightly"),
    )
    selection: ClassVar[str] = "loss"
    eval_batch: ClassVar[int] = 500

    if TYPE_CHECKING:
        train_items: int

    @property
    def target(self) -> Port:
        return Port(classes=10)

    @property
    def order_P(self) -> np.ndarray | None:
        """Return the order in which pixels are read; None: row by row."""
        return None

    def sources(self) -> tuple[Source, ...]:
        return (_MNIST,)

    def data(self, split: str, seed: int) -> Data:
        kept = self._prepared
        grid = (SIDE, SIDE) if self.source.layout == "grid" else None
        part = self._parts[split]
        return Images(
            kept[f"{part[0]}_images"][part[1]],
            kept[f"{part[0]}_classes"][part[1]],
            self.source.width,
            self.order_P,
            grid,
        )

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the answer that is always the commonest class of the training part."""
        train, there = self.data("train", 0), self.data(split, 0)
        assert isinstance(train, Images)
        assert isinstance(there, Images)
        majority = np.bincount(train.class_N, minlength=10).argmax()
        return {"majority class": {"accuracy": float((there.class_N == majority).mean())}}

    @property
    def _parts(self) -> Mapping[str, tuple[str, slice]]:
        limit = 60_000 - _HELD_OUT
        return {
            "train": ("train", slice(0, min(self.train_items or limit, limit))),
            "valid": ("train", slice(limit, None)),
            "test": ("t10k", slice(None)),
        }

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        # The same for all tasks on these images, so made once for all.
        return prepare("mnist", (_MNIST,), 1, {}, _make)


def _make(folder: Path) -> dict[str, np.ndarray]:
    """Make the images as rows of bytes, and their classes."""
    content = {}
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        content[f"{part}_images"] = images.reshape(len(images), -1)
        content[f"{part}_classes"] = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    return content


def read_idx(path: Path) -> np.ndarray:
    """Return the array of bytes in an IDX file, gzipped or not.

    Raises:
        DataError: it is no such file, or cut short.
    """
    with path.open("rb") as f:
        raw = f.read()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path} is no IDX file of bytes: it begins with {raw[:4].hex()}")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if len(values) != np.prod(shape):
        raise DataError(f"{path} announces {shape} bytes and holds {len(values)}")
    return values.reshape(shape)
