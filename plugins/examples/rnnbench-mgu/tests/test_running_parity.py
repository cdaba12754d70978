"""Running parity: the laws of every task, and its data by hand."""

import torch
from rnnbench.testing import TaskLaws

from rnnbench_mgu.running_parity import RunningParity


class TestRunningParity(TaskLaws):
    tiny = RunningParity(train_items=12, held_out_items=8)


def test_the_target_counts_the_ones_so_far():
    batch = RunningParity(length=6).draw(50, torch.Generator().manual_seed(0))
    for bits, parities in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        assert parities == [sum(bits[: t + 1]) % 2 for t in range(6)]


def test_the_baseline_is_about_one_half_on_the_test_split():
    found = RunningParity().baselines("test")["commoner parity"]["accuracy"]
    assert 0.5 <= found < 0.51  # 40,000 steps: σ = 0.0025
