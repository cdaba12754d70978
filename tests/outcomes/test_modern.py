"""Tasks that modern recurrences can and cannot do, at small size: `pytest -m slow -s`.

A few minutes each on one core. The figures are test accuracies after one seed.
"""

import pytest
from support.learning import accuracy_after

from rnnbench_architectures.deltanet import DeltaNet
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.mamba import Mamba
from rnnbench_architectures.mingru import MinGRU
from rnnbench_architectures.s4d import S4D
from rnnbench_architectures.transformer import Transformer
from rnnbench_architectures.xlstm import XLSTM
from rnnbench_tasks.mqar import MQAR
from rnnbench_tasks.parity import Parity
from rnnbench_tasks.selective_copy import SelectiveCopy

pytestmark = pytest.mark.slow

HOW = dict(rate=3e-3, batch=64)
PARITY = Parity(train_min=2, train_max=16, test_max=64, train_items=20_000)
COPY = SelectiveCopy(noise=32, tokens=6, vocabulary=10, train_items=20_000)
RECALL = MQAR(vocabulary=64, length=32, pairs=4, train_items=20_000)


def accuracy(task, architecture, steps, **more):
    reached, weights = accuracy_after(task, architecture, steps=steps, **HOW, **more)
    print(f"{task.name}: {architecture} after {steps} steps, {weights:,} weights: {reached:.3f}")
    return reached


def test_only_recurrences_whose_gates_see_their_state_track_parity_beyond_training():
    """Beck et al. (2024), figure 4; Grazzi et al. (2024), arXiv:2411.12537; chance is 0.5.

    Training has at most 16 bits, the test 17 to 64.
    """
    solve = [XLSTM(hidden=16, heads=2, layers=1, blocks="slstm"), LSTM(hidden=32), Elman(hidden=32)]
    fail = [
        MinGRU(hidden=32), XLSTM(hidden=16, heads=2, blocks="mlstm"), Mamba(hidden=16),
    ]  # fmt: skip
    assert min(accuracy(PARITY, a, steps=1500) for a in solve) > 0.95
    assert max(accuracy(PARITY, a, steps=1500) for a in fail) < 0.6


def test_selection_by_the_input_solves_selective_copying_and_a_fixed_recurrence_does_not():
    """Gu & Dao (2023), table 1: Mamba 99.8, S4 18.3; Feng et al. (2024), table 1: minGRU 99.5.

    There are 4,096 noise tokens and 400,000 steps of training; here 32 and a few thousand. The task
    calls 0.97 solved.
    """
    solve = {Mamba(hidden=32, units=16): 3000, MinGRU(hidden=64, layers=3): 6000}
    for selective, steps in solve.items():
        assert accuracy(COPY, selective, steps, one_cycle=True) >= 0.97
    assert accuracy(COPY, S4D(hidden=32), 4000, one_cycle=True) < 0.85


def test_attention_and_the_delta_rule_recall_associations_at_small_width():
    """Arora et al. (2023), figure 2; Yang et al. (2024), figure 2."""
    recall = [DeltaNet(hidden=64, heads=2), Transformer(hidden=64, heads=2)]
    assert min(accuracy(RECALL, a, steps=1500) for a in recall) > 0.99
