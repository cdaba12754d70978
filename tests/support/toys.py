"""Toy tasks and small cells that the core's tests run on."""

from typing import Any

from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench_architectures.lstm import LSTM

__all__ = ["TOYS", "TinyLSTM"]


def TinyLSTM(**settings: Any) -> LSTM:
    return LSTM(**{"hidden": 6, **settings})
