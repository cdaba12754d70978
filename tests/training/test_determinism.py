"""The state of the process that a run sets."""

import torch

from rnnbench.spec.run_spec import Trainer
from rnnbench.training.determinism import configure


def operators_of_a_new_tensor():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.empty(1000)
    return {event.name for event in profile.events()}


def test_a_deterministic_run_spends_no_time_on_filling_new_tensors():
    configure(Trainer(accelerator="cpu"))
    assert torch.are_deterministic_algorithms_enabled()
    assert "aten::fill_" not in operators_of_a_new_tensor()
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        assert "aten::fill_" in operators_of_a_new_tensor(), "what this test would see"
    finally:
        configure(Trainer(accelerator="cpu"))
