"""A node that only fails is set aside, as long as there is another one."""

from rnnbench.sweep.engines.node_faults import FAULTS, NodeFaults


def test_a_node_is_set_aside_after_some_faults_without_an_end_between_them():
    faults = NodeFaults()
    for _ in range(2):
        assert not any(faults.add("a", ["a", "b"]) for _ in range(FAULTS - 1))
        faults.clear("a")
    assert [faults.add("a", ["a", "b"]) for _ in range(FAULTS + 1)] == [False] * 2 + [True, False]
    assert faults.label_selector() == {"ray.io/node-id": "!in(a)"}


def test_a_node_that_cannot_start_workers_is_left_at_once_but_the_last_one_is_not():
    faults = NodeFaults()
    assert faults.set_aside("a", ["a", "b"])
    assert not faults.set_aside("b", ["a", "b"])
    assert not NodeFaults().set_aside("a", ["a"])
