"""What all tests share."""

import os

# One thread: two are slower on small models, and results must not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(1)
