"""Settings and order that all tests share."""

import os

# One thread: two are slower on small models, and results must not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Inductor would compile, and load in a new process, a test of each instruction set that this
# processor has, which takes longer than all that the tests let it compile.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

import gc
from pathlib import Path

import pytest

# The libraries are some million objects that live for ever; to look through them again and again
# for garbage takes a twentieth of the time.
gc.set_threshold(20_000, 20, 50)

# Files that take longest. They begin first, so that no worker is left alone with one at the end
# (`--dist loadfile --no-loadscope-reorder` in pyproject.toml hands files out in this order).
LONGEST_FIRST = (
    "laws/test_tricks.py",
    "docs/test_docs.py",
    "sweep/test_chaos.py",
    "registry/test_example_plugin.py",
    "cluster/test_ray.py",
    "nn/test_scan_tiers.py",
    "laws/test_broken_plugins.py",
    "sweep/test_ray.py",
    "laws/test_architectures.py",
    "registry/test_scaffold.py",
    "sweep/test_servers.py",
    "training/test_kills.py",
    "sweep/test_driver.py",
    "sweep/test_local.py",
    "trained/test_generate.py",
    "report/site/test_pages.py",
    "sweep/test_file.py",
    "laws/test_tasks.py",
    "laws/test_properties.py",
)
RANK = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}


@pytest.hookimpl(tryfirst=True)  # before those that are marked as slow are left out
def pytest_collection_modifyitems(items):
    from rnnbench.testing.law import ELSEWHERE  # it brings torch

    for item in items:
        if item.name.endswith(ELSEWHERE):
            item.add_marker("slow")
    items.sort(key=lambda item: RANK.get(item.path, len(RANK)))


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory):
    """What tests note of plugins is not noted for whoever runs them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(1)
