"""When a trial that met a fault of the infrastructure is tried again, and when none is placed."""

from itertools import pairwise

import pytest

from rnnbench.results.outages import fault_named
from rnnbench.sweep import breaker as module
from rnnbench.sweep.breaker import ALIKE, TRIES, Breaker

STORAGE, DISK = fault_named("storage"), fault_named("disk")
ONE, TWO = ["a"], ["a", "b"]


class Clock:
    def __init__(self):
        self.now, self.said = 1000.0, []
        self.breaker = Breaker("rnnbench sweep resume s", self.said.append, lambda: self.now)

    def fault(self, key="k", fault=STORAGE, node="a", nodes=ONE):
        return self.breaker.note_fault(key, fault, "RemoteError: away", node, nodes)

    def open(self):
        for number in range(ALIKE):
            self.fault(f"k{number}")
        assert self.breaker.is_open


@pytest.fixture
def at():
    return Clock()


def test_a_trial_waits_twice_as_long_each_time_and_always_the_same(at):
    waits = [at.fault() for _ in range(TRIES)]
    assert waits[-1] is None, "this driver tries it no more"
    assert 3.75 <= waits[0] <= 6.25
    assert all(b > a for a, b in pairwise(waits[:5]))
    assert max(waits[:-1]) <= 150
    assert waits == [Clock().fault() for _ in range(1)] + waits[1:]
    assert at.fault("another") != waits[0], "so that not all come at once"


def test_many_faults_alike_stop_the_placing_and_say_what_where_and_what_to_do(at):
    for number in range(ALIKE):
        assert at.breaker.may_place()
        at.fault(f"k{number}")
    assert not at.breaker.may_place()
    (said,) = at.said
    for part in ("no new trials are placed", "5 in a row", STORAGE.what, STORAGE.advice, "a (5)",
                 "RemoteError: away", "rnnbench sweep resume s"):  # fmt: skip
        assert part in said
    assert at.breaker.as_dict()["nodes"] == {"a": 5}


def test_ends_in_between_other_kinds_and_one_node_of_several_do_not(at):
    for number in range(3 * ALIKE):
        at.fault(f"k{number}", fault=DISK if number % 2 else STORAGE)
    for number in range(3 * ALIKE):
        at.fault(f"k{number}")
        if number % 3 == 0:
            at.breaker.note_end()
    at.breaker.note_end()
    for number in range(3 * ALIKE):
        at.fault(f"k{number}", nodes=TWO)
    assert at.said == []
    at.fault("k", node="b", nodes=TWO)
    assert at.breaker.is_open


def test_while_it_is_open_one_trial_tries_and_ever_less_often(at):
    at.open()
    gaps = []
    for number in range(6):
        began = at.now
        while not at.breaker.may_place():
            at.now += 1
        gaps.append(at.now - began)
        at.breaker.note_placed(f"p{number}")
        assert not at.breaker.may_place(), "one at a time"
        at.fault(f"p{number}")
    assert gaps[0] < gaps[1] < gaps[2]
    assert max(gaps) <= 1.25 * module.MOST_PROBE_SECONDS + 1


def test_a_run_that_ends_closes_it_and_so_does_a_request(at):
    at.open()
    assert at.breaker.note_end()
    assert at.breaker.may_place()
    assert at.breaker.as_dict() == {}
    assert "trials are placed again" in at.said[-1]
    at.open()
    at.breaker.close()
    assert at.breaker.may_place()
    assert at.fault("k0") < 10, "what was counted is forgotten"


def test_a_try_that_tells_nothing_is_made_again(at):
    at.open()
    at.now += 60
    at.breaker.note_placed("p")
    at.breaker.note_gone("p")  # its worker was killed
    at.now += 120
    assert at.breaker.may_place()


def test_what_lasts_for_an_hour_is_given_up(at):
    at.open()
    assert not at.breaker.given_up
    at.now += module.GIVE_UP_SECONDS + 1
    assert at.breaker.given_up
