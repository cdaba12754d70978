"""Recursive networks and tree-LSTMs against the papers' equations, worked node by node."""

import dataclasses
import math
import random

import pytest
import torch

from rnnbench.contract import Layout, Port, Refusal
from rnnbench.nn.layouts.trees import forest
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS
from rnnbench.training.dry_run import check
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.recursive import Recursive
from rnnbench_architectures.tree_lstm import TreeLSTM
from rnnbench_tasks.listops import ListOps


class TestRecursive(ArchitectureLaws):
    tiny = Recursive(hidden=8)


class TestRecursiveByPosition(ArchitectureLaws):
    tiny = Recursive(hidden=8, kind="n-ary", arity=4, labels="leaves")


class TestChildSum(ArchitectureLaws):
    tiny = TreeLSTM(hidden=8)


class TestNAry(ArchitectureLaws):
    tiny = TreeLSTM(hidden=8, kind="n-ary", arity=4)


WIDTH, HIDDEN, ARITY = 3, 2, 3


def random_tree(nodes, most, rng):
    """Parents of a tree in which every child stands before its parent, up to `most` a node."""
    while True:
        found = [rng.randrange(i + 1, nodes) for i in range(nodes - 1)] + [-1]
        if max(found.count(p) for p in range(nodes)) <= most:
            return found


def batch_of_trees(sizes=(7, 1, 4, 6), most=ARITY, seed=0):
    rng, steps = random.Random(seed), max(sizes)
    rows = [random_tree(n, most, rng) + [-1] * (steps - n) for n in sizes]
    return Layout(torch.tensor(sizes), None, torch.tensor(rows))


def inputs(layout, width=WIDTH, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*layout.parent_BT.shape, width, dtype=torch.float64, generator=g)


def built(architecture, width=WIDTH, seed=0):
    torch.manual_seed(seed)
    return architecture.build(width, causal=True).double().eval()


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def by_nodes(layout, x, compose):
    """y of each node, from its input and what `compose` gave for its children, left to right."""
    outputs = torch.zeros(*x.shape[:2], HIDDEN, dtype=torch.float64)
    for row, length in enumerate(layout.len_B.tolist()):
        parent = layout.parent_BT[row].tolist()
        states = {}
        for node in range(length):
            children = [states[k] for k in range(node) if parent[k] == node]
            states[node] = compose(x[row, node].tolist(), children)
            outputs[row, node] = torch.tensor(states[node][0], dtype=torch.float64)
    return outputs


def dot(weights, values):
    return sum(w * v for w, v in zip(weights, values, strict=True))


def test_child_sum_equals_its_equations_node_by_node_and_unit_by_unit():
    backbone, layout = built(TreeLSTM(hidden=HIDDEN)), batch_of_trees(most=6)
    cell, x = backbone.layers[0], inputs(batch_of_trees(most=6))
    wx, b = cell.weight_x.tolist(), cell.bias.tolist()
    u, uf = cell.weight_h.tolist(), cell.weight_f.tolist()

    def compose(x, children):
        h, c = [], []
        total = [sum(child[0][unit] for child in children) for unit in range(HIDDEN)]
        for unit in range(HIDDEN):
            i, o, g = (
                dot(wx[k * HIDDEN + unit], x) + b[k * HIDDEN + unit]
                + dot(u[k * HIDDEN + unit], total)
                for k in range(3)
            )  # fmt: skip
            row = 3 * HIDDEN + unit
            memory = sigmoid(i) * math.tanh(g)
            for h_k, c_k in children:
                memory += sigmoid(dot(wx[row], x) + b[row] + dot(uf[unit], h_k)) * c_k[unit]
            c.append(memory)
            h.append(sigmoid(o) * math.tanh(memory))
        return h, c

    torch.testing.assert_close(backbone(x, None, layout)[0], by_nodes(layout, x, compose))


def test_n_ary_equals_its_equations_with_a_matrix_for_each_pair_of_children():
    architecture = TreeLSTM(hidden=HIDDEN, kind="n-ary", arity=ARITY)
    backbone, layout = built(architecture), batch_of_trees()
    cell, x = backbone.layers[0], inputs(layout)
    wx, b, u = cell.weight_x.tolist(), cell.bias.tolist(), cell.weight_h.tolist()

    def from_children(row, children):
        """Σ_l U_l h_l for one row of the stacked matrix."""
        return sum(
            u[row][child * HIDDEN + unit] * h[unit]
            for child, (h, _) in enumerate(children)
            for unit in range(HIDDEN)
        )

    def compose(x, children):
        h, c = [], []
        for unit in range(HIDDEN):
            i, o, g = (
                dot(wx[k * HIDDEN + unit], x) + b[k * HIDDEN + unit]
                + from_children(k * HIDDEN + unit, children)
                for k in range(3)
            )  # fmt: skip
            shared = dot(wx[3 * HIDDEN + unit], x) + b[3 * HIDDEN + unit]
            memory = sigmoid(i) * math.tanh(g)
            for k, (_, c_k) in enumerate(children):
                forget = shared + from_children((3 + k) * HIDDEN + unit, children)
                memory += sigmoid(forget) * c_k[unit]
            c.append(memory)
            h.append(sigmoid(o) * math.tanh(memory))
        return h, c

    torch.testing.assert_close(backbone(x, None, layout)[0], by_nodes(layout, x, compose))


@pytest.mark.parametrize("kind", ["child-sum", "n-ary"])
@pytest.mark.parametrize("labels", ["all", "leaves"])
def test_recursive_equals_its_equation_node_by_node(kind, labels):
    arity = ARITY if kind == "n-ary" else None
    backbone = built(Recursive(hidden=HIDDEN, kind=kind, arity=arity, labels=labels))
    cell, layout = backbone.layers[0], batch_of_trees()
    x = inputs(layout)
    v, w, b = cell.label.weight.tolist(), cell.weight_h.tolist(), cell.bias.tolist()

    def compose(x, children):
        seen = [dot(v[unit], x) for unit in range(HIDDEN)]
        if labels == "leaves" and not children:
            return (seen,)
        h = []
        for unit in range(HIDDEN):
            a = b[unit] + (seen[unit] if labels == "all" else 0)
            for k, (h_k,) in enumerate(children):
                start = k * HIDDEN if arity else 0
                a += dot(w[unit][start : start + HIDDEN], h_k)
            h.append(math.tanh(a))
        return (h,)

    torch.testing.assert_close(backbone(x, None, layout)[0], by_nodes(layout, x, compose))


def test_two_leaves_under_a_root_give_what_was_worked_out_by_hand():
    """One unit, all weights 1, biases 0; leaves read 1 and 2, the root reads 0."""
    backbone = built(TreeLSTM(hidden=1), width=1)
    with torch.no_grad():
        for name, p in backbone.named_parameters():
            p.fill_(0.0 if "bias" in name else 1.0)
    x = torch.tensor([[[1.0], [2.0], [0.0]]], dtype=torch.float64)
    y, _ = backbone(x, None, Layout(None, None, torch.tensor([[2, 2, -1]])))
    # A leaf: c = σ(x) tanh(x), h = σ(x) tanh(c).
    #   c1 = 0.73106 · 0.76159 = 0.55677, h1 = 0.73106 · 0.50558 = 0.36961
    #   c2 = 0.88080 · 0.96403 = 0.84911, h2 = 0.88080 · 0.69061 = 0.60828
    # The root: h̃ = h1 + h2 = 0.97789; i = o = σ(h̃) = 0.72669, u = tanh(h̃) = 0.75215
    #   f1 = σ(h1) = 0.59136, f2 = σ(h2) = 0.64755
    #   c = 0.72669 · 0.75215 + 0.59136 · 0.55677 + 0.64755 · 0.84911 = 1.42568
    #   h = 0.72669 · tanh(1.42568) = 0.72669 · 0.89078 = 0.64732
    wanted = torch.tensor([0.36961, 0.60828, 0.64732], dtype=torch.float64)
    torch.testing.assert_close(y[0, :, 0], wanted, atol=1e-5, rtol=0)


def test_a_chain_of_nodes_is_an_lstm():
    """With one child a node, child-sum is the sequential LSTM of torch, gradients included."""
    steps = 6
    backbone, lstm = built(TreeLSTM(hidden=4)), torch.nn.LSTM(WIDTH, 4, batch_first=True).double()
    cell = backbone.layers[0]
    (wi, wo, wu, wf), (bi, bo, bu, bf) = cell.weight_x.chunk(4), cell.bias.chunk(4)
    ui, uo, uu = cell.weight_h.chunk(3)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.cat([wi, wf, wu, wo]))
        lstm.weight_hh_l0.copy_(torch.cat([ui, cell.weight_f, uu, uo]))
        lstm.bias_ih_l0.copy_(torch.cat([bi, bf, bu, bo]))
        lstm.bias_hh_l0.zero_()
    x = torch.randn(2, steps, WIDTH, dtype=torch.float64)
    chain = torch.tensor([[*range(1, steps), -1]] * 2)
    results = []
    for run in (lambda x: backbone(x, None, Layout(None, None, chain))[0], lambda x: lstm(x)[0]):
        x_in = x.clone().requires_grad_()
        y = run(x_in)
        y.square().sum().backward()
        results.append((y.detach(), x_in.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(
        cell.weight_f.grad, lstm.weight_hh_l0.grad.chunk(4)[1], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["child-sum", "n-ary"])
def test_order_of_children_matters_to_n_ary_only(kind):
    arity = 2 if kind == "n-ary" else None
    backbone = built(TreeLSTM(hidden=4, kind=kind, arity=arity))
    layout = Layout(None, None, torch.tensor([[2, 2, -1]]))
    x = inputs(layout)
    root, swapped = (backbone(v, None, layout)[0][:, -1] for v in (x, x[:, [1, 0, 2]]))
    assert torch.allclose(root, swapped) == (kind == "child-sum")


def test_levels_hold_each_node_once_below_its_parent():
    layout = batch_of_trees(sizes=(9, 3, 1, 12), seed=3)
    trees = forest(layout.parent_BT, layout.len_B)
    steps, start = layout.parent_BT.shape[1], 0
    assert sorted(trees.order_N.tolist()) == [
        row * steps + t for row, n in enumerate(layout.len_B.tolist()) for t in range(n)
    ]
    for i, level in enumerate(trees.levels[:-1]):
        nodes = trees.order_N[start : start + level.size].tolist()
        above = trees.order_N[start + level.size :][: trees.levels[i + 1].inner].tolist()
        start += level.size
        for node, parent, place in zip(
            nodes, level.parent_M.tolist(), level.place_M.tolist(), strict=True
        ):
            row, t = divmod(node, steps)
            parents = layout.parent_BT[row].tolist()
            assert above[parent] == row * steps + parents[t]
            assert place == parents[:t].count(parents[t])
    assert trees.levels[-1].size == 4  # the roots


def test_padding_is_zero_and_changes_nothing():
    backbone, layout = built(TreeLSTM(hidden=4)), batch_of_trees()
    x = inputs(layout)
    y, _ = backbone(x, None, layout)
    changed = x.clone()
    for row, length in enumerate(layout.len_B.tolist()):
        changed[row, length:] = 99.0
        assert not y[row, length:].any()
        alone = Layout(None, None, layout.parent_BT[row : row + 1, :length])
        torch.testing.assert_close(
            backbone(x[row : row + 1, :length], None, alone)[0], y[row : row + 1, :length]
        )
    assert torch.equal(backbone(changed, None, layout)[0], y)


@pytest.mark.parametrize(
    ("parents", "words"),
    [
        ([2, 0, -1], "step 1 has parent 0"),  # a parent before its child
        ([-1, 2, -1], "step 0 has parent -1"),  # two roots
        ([1, 2, 0], "step 2 has parent 0"),  # no root
        ([1, 3, -1], "step 1 has parent 3"),  # a parent outside the row
    ],
)
def test_what_is_no_tree_is_an_error_that_says_where(parents, words):
    with pytest.raises(ValueError, match=words):
        forest(torch.tensor([[1, 2, -1], parents]), None)


def test_more_children_than_arity_are_refused_in_the_dry_run():
    with pytest.raises(Refusal, match=r"a node has \d children and arity is 2"):
        check(TreeLSTM(hidden=4, kind="n-ary", arity=2), ListOps(train_items=50, valid_items=1))
    assert check(TreeLSTM(hidden=4, kind="n-ary", arity=6), ListOps()).device == "cpu"


def test_arity_is_asked_for_by_n_ary_and_by_nothing_else():
    with pytest.raises(Refusal, match=r"Set architecture\.arity"):
        TreeLSTM(kind="n-ary")
    with pytest.raises(Refusal, match="Drop arity"):
        Recursive(arity=3)


def test_only_trees_are_read():
    with pytest.raises(Refusal, match="tree-lstm reads tree layouts"):
        check(TreeLSTM(hidden=4), TOYS["classify"], batch=TOYS["classify"].example())
    vector = Port(width=3, layout="vector")
    caption = dataclasses.replace(TOYS["caption"], ports=(vector, TOYS["caption"].target))
    with pytest.raises(Refusal, match=r"tree-lstm reads trees, .* plain sequence"):
        check(TreeLSTM(hidden=4), caption, batch=caption.example())
    with pytest.raises(Refusal, match="batches continue each other"):
        built(TreeLSTM(hidden=4)).carry((None,))


def test_the_root_is_what_a_task_of_one_vector_reads():
    from rnnbench.training.train_step import TrickFold, assemble

    toy = MORE_TOYS["tree"]
    model = assemble(TreeLSTM(hidden=4), toy, TrickFold()).eval()
    batch = toy.example()
    result = model(batch)
    torch.testing.assert_close(result.out, model.readout(result.hidden[:, -1]))


@pytest.mark.slow
def test_tree_lstm_beats_a_flat_lstm_of_equal_size_on_listops():
    """The setting of sweeps/trees-and-grids.yaml at its middle rate, on one seed."""
    from support.learning import accuracy_after

    task = ListOps()
    flat, flat_size = accuracy_after(task, LSTM(hidden=48), steps=2000, rate=5e-3, batch=64)
    tree, tree_size = accuracy_after(task, TreeLSTM(hidden=48), steps=2000, rate=5e-3, batch=64)
    assert abs(tree_size / flat_size - 1) < 0.05
    assert tree > flat + 0.02, (tree, flat)
