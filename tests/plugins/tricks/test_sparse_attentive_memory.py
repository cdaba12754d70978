"""The memory of sparse attentive backtracking over chunks, what is refused, and that it recalls."""

import pytest
import torch
from support.streams import LM, NOW, model_of, stream
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Batch, Refusal
from rnnbench.nn import scan
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.testing.fixtures.small_architectures import Averaging
from rnnbench.training.dry_run import check
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.train_step import TrickFold, training_step
from rnnbench_architectures.dilated import DilatedRNN
from rnnbench_architectures.hm_lstm import HMLSTM
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_tricks._sparse_attentive_cell import RemindedCell, truncating
from rnnbench_tricks.highway import Highway
from rnnbench_tricks.residual import Residual
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.sparse_attentive_backtracking import SparseAttentiveBacktracking
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.zoneout import Zoneout


def trick(k_trunc=4, k_att=1, k_top=2, memories=20, readout="both"):
    return SparseAttentiveBacktracking(k_trunc, k_att, k_top, memories, readout)


def spread(module):
    """Scores start near 0; away from it the choice of memories is one that can be tested."""
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, RemindedCell):
                m.score.weight.copy_(torch.linspace(-1.5, 2.0, m.hidden)[None])
    return module


def reminded(kind=LSTMCell, d_in=2, hidden=3, said=False, k_trunc=4, k_att=1, k_top=2, memories=20):
    torch.manual_seed(0)
    return spread(RemindedCell(kind(d_in, hidden), k_trunc, k_att, k_top, memories, said).double())


def drawn(rows, steps, d_in=2, seed=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, steps, d_in, dtype=torch.float64, generator=random)


# ------------------------------------------------------------------------------------- the memory


@pytest.mark.parametrize("k_att", [1, 3])
def test_memories_outlast_the_borders_of_chunks(k_att):
    cell = reminded(k_att=k_att, memories=4)
    x = drawn(2, 17)
    whole, last = cell(x)
    state, parts = None, []
    for chunk in x.split([1, 4, 2, 10], 1):
        y, state = cell(chunk, state)
        parts.append(y)
        state = cell.carry(state)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b)
    assert cell.apart == (1, 2)
    forgetful, _ = cell(x[:, 7:], (state[0] * 0, state[1] * 0, state[2] * 0, state[3] * 0))
    assert (forgetful - whole[:, 7:]).abs().max().item() > 1e-2


def test_rows_that_have_made_unequal_numbers_of_steps_are_read_on_as_each_would_be():
    cell = reminded(k_trunc=3, k_att=2, memories=4)
    x = drawn(2, 12)
    states = [cell(x[row : row + 1, :begin])[1] for row, begin in enumerate((4, 7))]
    together = tuple(torch.cat(pair) for pair in zip(*states, strict=True))
    with truncating(cell):
        y, _ = cell(x[:, 7:], together)
        for row in range(2):
            alone, _ = cell(x[row : row + 1, 7:], states[row])
            torch.testing.assert_close(y[row], alone[0])
            found, expected = (
                torch.autograd.grad(v.sum(), cell.inner.weight_h, retain_graph=True)[0]
                for v in (y[row], alone)
            )
            torch.testing.assert_close(found, expected)


def test_a_full_memory_forgets_the_oldest():
    cell = reminded(k_att=2, memories=3)
    x = drawn(1, 9)
    y, (_, memory, clock, _) = cell(x)
    torch.testing.assert_close(memory[0], y[0, [3, 5, 7]])
    assert clock.tolist() == [[9]]
    _, (_, early, _, _) = cell(x[:, :3])
    torch.testing.assert_close(early[0, 2], y[0, 1])
    assert not early[0, :2].any()


def test_masks_of_a_cell_inside_stay_last_in_the_state_and_zoneout_stays_inside():
    how = trick(readout="state")
    model = model_of(LSTM(hidden=4), Zoneout(rate=0.4), how)
    (cell,) = (m for m in model.modules() if isinstance(m, RemindedCell))
    assert type(cell.inner).__name__ == "ZoneoutCell"
    batch = stream(1)[0]
    torch.manual_seed(3)
    first = training_step(model, TrickFold([how]), batch, None, NOW).loss
    torch.manual_seed(3)
    assert training_step(model, TrickFold([how]), batch, None, NOW).loss == first
    assert training_step(model, TrickFold([how]), batch, None, NOW).loss != first


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("architecture", "toy", "tricks", "reason"),
    [
        (LSTM(hidden=4), "lm", [trick(), RTRL()], "one estimator"),
        (Averaging(), "lm", [trick()], "this model has none"),
        (HMLSTM(hidden=4), "lm", [trick()], "something else than its hidden state"),
        (LSTM(hidden=4), "translate", [trick()], r"encoder and luong.*\n.*readout=state"),
        (LSTM(hidden=4), "classify", [trick(k_att=5)], r"k_att = 5.*\n.*Lower"),
        (
            DilatedRNN(hidden=4),
            "caption",
            [trick(k_att=2, readout="state")],
            "a layer makes 1 steps",
        ),
        (TinyLSTM(), "lm", [Residual(), trick()], r"not the output of one recurrent layer"),
        (TinyLSTM(layers=2, residual=True), "lm", [trick()], "not the output of one"),
        (TinyLSTM(), "lm", [trick(), Highway()], "the output 12"),
        (TinyLSTM(), "lm", [TiedWeights(), trick()], "shares its weights"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(architecture, toy, tricks, reason):
    with pytest.raises(Refusal, match=reason):
        check(architecture, TOYS[toy], tricks, batch=TOYS[toy].example())


def test_what_reads_states_alone_is_accepted_with_the_readout_of_states():
    check(TinyLSTM(), LM, [Residual(), trick(readout="state")], batch=LM.example())
    for toy in ("translate", "forecast"):
        check(LSTM(hidden=4), TOYS[toy], [trick(readout="state")], batch=TOYS[toy].example())


def test_a_memory_that_never_leaves_anything_out_is_refused():
    with pytest.raises(Refusal, match="Set memories to 6"):
        SparseAttentiveBacktracking(k_top=5, memories=5)


def test_a_tier_that_would_hide_where_the_gradient_stops_is_refused():
    scan.use("c")
    try:
        with pytest.raises(RuntimeError, match="cannot run in this tier"):
            reminded()(drawn(1, 3))
    finally:
        scan.use()


def test_a_batch_too_short_for_a_memory_leaves_no_weight_without_gradient():
    how = trick(k_att=4, readout="state")
    model, batch = model_of(LSTM(hidden=4), how), stream(1)[0]
    training_step(model, TrickFold([how]), Batch(batch.x[:, :3], batch.y[:, :3]), None, NOW)
    gradients = {n: p.grad for n, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    assert {n for n, g in gradients.items() if not g.any()} >= {
        f"backbone.layers.0.{part}.weight" for part in ("map_memory", "map_hidden", "score")
    }


# -------------------------------------------------------------------------------------- learning


def accuracy(root, trick, seed=1):
    """Share of symbols right on the test split, as `sweeps/copy-memory-credit.yaml` trains."""
    settings = {
        "architecture.hidden": 64,
        "task.symbols": 2,
        "task.delay": 20,
        "optimizer.lr": 2e-3,
        "budget.steps": 800,
        "budget.validate_every": 100,
    }
    spec = resolve(compose("copy-memory", "lstm", ["clip", trick], settings, seed=seed))
    record = execute(spec, store=Store(root))
    assert record.status is Status.DONE, record.reason
    print(f"{spec.run_id} seed {seed}: {record.metrics['test']}")
    return record.metrics["test"]["accuracy"]


@pytest.mark.slow
def test_it_recalls_over_more_blanks_than_the_gradient_goes_back_where_tbptt_does_not(tmp_path):
    """Ke et al. (2018), the copying task, at small size; chance is 1/8."""
    how = "sparse-attentive-backtracking:k_trunc=5,k_att=1,k_top=5,memories=30"
    assert accuracy(tmp_path, how) > 0.95
    assert accuracy(tmp_path, "tbptt:k1=5") < 0.2
