"""Runs of seconds, and when two of them are the same."""

import torch
from safetensors.torch import load_file

from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve

SMALL = {
    "task.length": 20,
    "task.valid_characters": 2000,
    "architecture.hidden": 12,
    "optimizer.batch": 4,
    "budget.steps": 60,
    "budget.validate_every": 20,
}
TRICKS = ["zoneout", "variational-dropout"]  # both draw random numbers at every step
CPU = Trainer(accelerator="cpu")


def small(architecture="lstm", tricks=(), seed=0, test=False, **settings):
    chosen = {**SMALL, **{k.replace("__", "."): v for k, v in settings.items()}}
    return resolve(compose("char-lm", architecture, list(tricks), chosen, seed=seed, test=test))


def weights_of(store, spec):
    return load_file(store.run_dir(spec.run_id) / "weights.safetensors")


def assert_same_run(a, b):
    (store_a, record_a), (store_b, record_b) = a, b
    assert record_a.metrics == record_b.metrics
    strip = [[step, values] for step, _, values in record_a.curve]
    assert strip == [[step, values] for step, _, values in record_b.curve]
    left, right = weights_of(store_a, record_a.spec), weights_of(store_b, record_b.spec)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[k], right[k]) for k in left)


def run_in(folder, spec, **options):
    store = Store(folder)
    return store, execute(spec, store=store, trainer=CPU, **options)
