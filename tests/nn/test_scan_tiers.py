"""The tiers of the scan against the eager loop: outputs, states and every gradient."""

import pytest
import torch
from nn.scan_cells import (
    CELLS,
    FastGraphCell,
    LayerNormCell,
    agree,
    make,
    needs_compiler,
    needs_inductor,
    outcome,
    start_of,
    used,
)
from torch.nn.utils import parametrizations

from rnnbench.nn import GatedCell, scan
from rnnbench.nn.scan import inductor


@pytest.fixture(autouse=True)
def _fresh():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    scan.use()


@needs_compiler
@pytest.mark.parametrize("name", CELLS)
def test_c_gives_what_the_loop_gives(name):
    scan.use("c")
    cell = make(name)
    agree(cell, torch.randn(4, 7, 5, dtype=torch.float64), 1e-11)
    assert set(used().values()) == {"c"}


@needs_compiler
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "zoneout"])
def test_c_gives_what_the_loop_gives_in_single_precision(name):
    scan.use("c")
    agree(make(name, 40, 50, torch.float32), torch.randn(17, 30, 40), 2e-4)


@needs_compiler
@pytest.mark.parametrize(("rows", "hidden"), [(1, 1), (1, 5), (3, 1), (6, 6), (29, 33)])
def test_c_takes_any_number_of_rows_and_units(rows, hidden):
    scan.use("c")
    for name in ("peepholes", "gru of Cho"):
        agree(make(name, 3, hidden), torch.randn(rows, 4, 3, dtype=torch.float64), 1e-11)


@needs_inductor
@pytest.mark.parametrize("make_cell", [LayerNormCell, lambda d, h: FastGraphCell(d)])
def test_inductor_gives_what_the_loop_gives(make_cell):
    scan.use("inductor")
    torch.manual_seed(1)
    cell = make_cell(5, 6).double()
    agree(cell, torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)
    assert set(used().values()) == {"inductor"}


@needs_inductor
def test_inductor_takes_noise_fixed_masks_and_two_products():
    scan.use("inductor")
    agree(make("both, reversed"), torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "zoneout"])
def test_on_a_gpu_inductor_gives_what_the_loop_gives(name):
    with torch.device("cuda"):
        scan.use("inductor" if not inductor.available("cuda") else "auto", long=True)
        agree(make(name).cuda(), torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)


@needs_compiler
def test_a_gradient_that_is_not_finite_is_seen():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    cell(x)
    x[0, 2, 1] = torch.nan
    cell(x)[0].sum().backward()
    assert cell.weight_h.grad.isnan().any()


@needs_compiler
def test_gradients_can_be_differentiated_again():
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    for name in ("peepholes", "gru of Cho"):
        cell = make(name)
        found = []
        for tier in ("c", "eager"):
            scan.use(tier)
            inner = x.clone().requires_grad_()
            y, _ = cell(inner)
            parameters = list(cell.parameters())
            grads = torch.autograd.grad(y.square().sum(), [inner, *parameters], create_graph=True)
            penalty = sum(g.square().sum() for g in grads)
            found.append([penalty, *torch.autograd.grad(penalty, [inner, *parameters])])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@needs_compiler
def test_a_frozen_cell_gets_no_gradient_and_gives_its_inputs():
    scan.use("c")
    cell = make("peepholes").requires_grad_(False)
    agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-11)
    assert all(p.grad is None for p in cell.parameters())


@needs_compiler
def test_weights_that_are_updated_in_place_are_read_anew():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    before, _ = cell(x)
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(0.1)
    assert not torch.allclose(cell(x)[0], before)
    agree(cell, x, 1e-11)


@needs_compiler
def test_weights_may_be_plain_tensors():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    others = {k: (p.detach() * 1.5).requires_grad_() for k, p in cell.named_parameters()}
    found = []
    for tier in ("c", "eager"):
        scan.use(tier)
        y, _ = torch.func.functional_call(cell, others, (x,))
        found.append([y, *torch.autograd.grad(y.square().sum(), list(others.values()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    assert used() == {"LSTMCell": "eager"}


@needs_compiler
def test_a_parametrised_weight_is_learnt_through_its_parametrisation():
    cell = make("peepholes")
    parametrizations.weight_norm(cell, "weight_h")
    parametrizations.weight_norm(cell, "peephole_i", dim=None)
    scan.use("c")
    agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-11)


@needs_compiler
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "projected lstm"])
def test_two_chunks_with_the_carried_state_equal_one_pass(name):
    scan.use("c")
    cell, x = make(name), torch.randn(3, 9, 5, dtype=torch.float64)
    whole, _ = cell(x)
    first, state = cell(x[:, :4])
    second, _ = cell(x[:, 4:], cell.carry(state))
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-13, rtol=0)


@needs_compiler
def test_evaluation_gives_what_training_gives_and_an_empty_batch_nothing():
    scan.use("c")
    cell, x = make("gru of Cho"), torch.randn(3, 9, 5, dtype=torch.float64)
    whole, _ = cell(x)
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            assert torch.equal(cell(x)[0], whole)
    assert cell(x[:0])[0].shape == (0, 9, 6)


@needs_compiler
def test_the_same_numbers_give_the_same_bits():
    scan.use("c")
    cell, x = make("zoneout", 20, 30, torch.float32), torch.randn(9, 12, 20)
    state = start_of(cell, x)
    first, second = (outcome(cell, cell, x, state) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_compiler
def test_an_output_that_is_changed_in_place_is_not_differentiated_silently():
    scan.use("c")
    y, _ = make("peepholes")(torch.randn(3, 5, 5, dtype=torch.float64))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@needs_compiler
def test_a_setting_that_changes_is_not_taken_from_an_old_trace():
    class Scaled(GatedCell):
        scale = 1.0

        def update(self, gates_x, gates_h, state):
            return (torch.tanh(gates_x + gates_h) * self.scale * (2 if self.training else 1),)

    scan.use("c")
    cell, x = Scaled(5, 6).double(), torch.randn(3, 5, 5, dtype=torch.float64)
    for scale in (1.0, 0.5):
        cell.scale = scale
        agree(cell, x, 1e-11)
