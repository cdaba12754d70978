"""Measures how fast the machine multiplies matrices, so that times of unlike machines compare."""

from __future__ import annotations

import functools
import time

import torch

SECONDS = 0.02  # of measuring, at most, once a few products were made
LEAST = 3  # products whose best counts
SIZES = {"cpu": 256, "cuda": 2048}  # rows of the square matrices: large enough to reach the peak


def product_speed(device: torch.device) -> float:
    """Return the operations a second of a large float32 product, two for each multiplication.

    It is the best of several products, with the threads that the process uses now; measured once
    for a process, device and number of threads.
    """
    return _measure(device, torch.get_num_threads())


@functools.cache
def _measure(device: torch.device, threads: int) -> float:
    size = SIZES.get(device.type, SIZES["cpu"])
    a, b, product = (torch.ones(size, size, device=device) for _ in range(3))  # no random draw
    torch.mm(a, b, out=product)  # the first one pays for what is made once
    best, began, count = float("inf"), time.perf_counter(), 0
    while count < LEAST or time.perf_counter() - began < SECONDS:
        _wait(device)
        start = time.perf_counter()
        torch.mm(a, b, out=product)
        _wait(device)
        best, count = min(best, time.perf_counter() - start), count + 1
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
