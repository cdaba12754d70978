"""A trial whose worker is gone is run again, or fails."""

from rnnbench.results.record import Status
from rnnbench.sweep.engines.protocol import Died
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.lost_workers import NODE_LOSSES, judge
from rnnbench.sweep.scheduler import Scheduler


def lost(attempt=1, deaths=0, **event_fields):
    row = TrialRow("s/c/0", "s", "c", "search", 0, "{}", "run", attempt=attempt, deaths=deaths)
    return judge(row, Died("s/c/0", attempt, "was killed", "node", **event_fields), "was killed", 1)


def test_a_first_death_is_tried_again_and_the_second_fails_the_trial():
    assert lost().status is None
    second = lost(attempt=2, deaths=1)
    assert second.status is Status.CRASHED
    assert second.text == "killed its worker twice; the last one was killed"


def test_lost_nodes_are_no_fault_of_the_trial_but_not_without_end():
    assert lost(attempt=NODE_LOSSES - 1, deaths=1, lost=True).status is None
    last = lost(attempt=NODE_LOSSES, lost=True)
    assert (last.status, last.held) == (None, True)
    assert "was started 20 times and lost with its node; it waits until the sweep" in last.text
    assert not lost(attempt=NODE_LOSSES + 1, lost=True).held


def test_memory_that_ran_out_would_run_out_again():
    assert lost(too_large=True).status is Status.OOM
    assert lost(too_large=True, lost=True).status is Status.OOM


class Shunned:
    """What the scheduler knows of nodes on which trials killed their workers."""

    shunned = {"s/c/0": {"bad"}}


class Nodes:
    """Workers by the node that they are on."""

    def __init__(self, **nodes):
        self.node = nodes.get


def test_a_trial_is_tried_again_on_another_node_where_there_is_one():
    loop = object.__new__(Scheduler)
    loop._engine, loop._ends = Nodes(w1="bad", w2="good"), Shunned()
    row = TrialRow("s/c/0", "s", "c", "search", 0, "{}", "run")
    assert loop._worker_for(row, ["w1", "w2"]) == "w2"
    assert loop._worker_for(row, ["w1"]) == "w1"
    other = TrialRow("s/c/1", "s", "c", "search", 1, "{}", "run")
    assert loop._worker_for(other, ["w1", "w2"]) == "w1"
