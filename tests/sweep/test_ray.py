"""The engine of a Ray cluster: three real nodes on this machine, of which some are killed."""

import os
import signal
import time
from collections import Counter
from contextlib import closing

import pytest
from support.engine_events import make_job, wait_for, wait_idle
from support.fake_work import make_ray_engine, starts
from support.ray_cluster import cluster_of
from support.small_sweeps import (
    RUNS,
    SWEEP,
    Notes,
    assert_nothing_is_left_behind,
    params_of,
    rows_of,
    run,
)

from rnnbench.sweep.cluster.connection import RayConnection
from rnnbench.sweep.engines.protocol import Died, EngineError, Finished, ValidationReport
from rnnbench.sweep.file.resources import Resources

# Rates close to each other: rows differ by about as much as seeds do.
SEEDS_BY_RESULTS = """\
name: sweep
tasks: [noisy]
architectures: [plain, layered]
tricks: [[], [zoneout]]
search:
  trials: 2
  sampler: random
  space:
    optimizer.lr: {low: 0.01, high: 0.0108, log: true}
final: {seeds: auto, at_least: 3, at_most: 6}
workers: 2
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with cluster_of(tmp_path_factory.mktemp("cluster"), nodes=3) as cluster:
        yield cluster


@pytest.fixture
def make(cluster, tmp_path):
    """Makes an engine on the cluster."""
    return lambda n, **options: make_ray_engine(tmp_path, cluster.address, **options)(n)


def test_a_sweep_runs_every_trial_once_on_several_nodes(make, tmp_path):
    # Long enough that a second worker begins before the first one has done everything.
    text = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.7}]")
    outcome = run(text.replace("workers: 2", "workers: 3"), tmp_path, engine_factory=make)
    assert outcome.complete
    counts = Counter(run_id for run_id, _, _ in starts(tmp_path))
    assert set(counts.values()) == {1}
    assert len(counts) == RUNS
    assert len({pid for _, _, pid in starts(tmp_path)}) >= 2
    assert_nothing_is_left_behind(tmp_path)


def test_results_of_equal_configurations_are_those_of_the_local_engine(make, tmp_path):
    text = SWEEP.replace("workers: 2", "workers: 3")
    run(text, tmp_path, engine_factory=make)
    (tmp_path / "local").mkdir()
    run(text.replace("workers: 3", "workers: 1"), tmp_path / "local")
    assert params_of(tmp_path) == params_of(tmp_path / "local")
    figures = {r.key: (r.state, r.value, r.curve) for r in rows_of(tmp_path)}
    assert figures == {r.key: (r.state, r.value, r.curve) for r in rows_of(tmp_path / "local")}


def test_seeds_by_results_are_decided_as_on_the_local_engine(make, tmp_path):
    def told(root, **options):
        notes = Notes()
        assert run(SEEDS_BY_RESULTS, root, progress=notes, **options).complete
        finals = [r for r in rows_of(root) if r.stage == "final"]
        return (
            {r.key: (r.number, r.state, r.value, r.curve) for r in finals},
            [text for text in notes.notes if text.startswith("seeds of noisy: settled")],
        )

    on_ray = told(tmp_path, engine_factory=make)
    (tmp_path / "local").mkdir()
    assert on_ray == told(tmp_path / "local")
    numbers = Counter(number for number, _, _, _ in on_ray[0].values())
    assert numbers[3] == 4 > numbers[4] > 0  # some rows got more seeds than the first three


def test_a_worker_asks_and_is_told_to_prune(make):
    with closing(make(1)) as engine:
        (worker,) = wait_idle(engine)
        engine.submit(worker, make_job(asks=True))
        (report,) = [
            e for e in wait_for(engine, ValidationReport) if isinstance(e, ValidationReport)
        ]
        engine.reply(report.key, True)
        ending = wait_for(engine, Finished)[-1].ending
        assert ending.status == "pruned"
        assert len(ending.curve) == 1


def test_a_killed_worker_takes_only_its_own_job_with_it(make, tmp_path):
    with closing(make(2)) as engine:
        first, second = wait_idle(engine, 2)
        engine.submit(first, make_job(seed=1, seconds=30.0))
        engine.submit(second, make_job(seed=2, seconds=1.0))
        deadline = time.monotonic() + 120
        while len(starts(tmp_path)) < 2 and time.monotonic() < deadline:
            engine.poll(0.1)
        os.kill(int(first.split(":")[1]), signal.SIGKILL)
        died = next(e for e in wait_for(engine, Died) if isinstance(e, Died))
        assert (died.key, died.lost) == ("job-1", False)
        assert "SIGKILL" in died.reason
        assert wait_for(engine, Finished)[-1].key == "job-2"
        wait_idle(engine, 2)


def test_a_lost_node_is_replaced_within_30_seconds_and_blames_no_trial(cluster, make, tmp_path):
    with closing(make(1, resources=Resources(labels={"pool": "spot"}))) as engine:
        spot = cluster.add_node(num_cpus=1, labels={"pool": "spot"})
        (worker,) = wait_idle(engine)
        engine.submit(worker, make_job(seconds=60.0))
        while not starts(tmp_path):
            engine.poll(0.1)
        cluster.remove_node(spot, allow_graceful=False)
        other = cluster.add_node(num_cpus=1, labels={"pool": "spot"})
        began = time.monotonic()
        died = next(e for e in wait_for(engine, Died, 30) if isinstance(e, Died))
        assert died.lost
        wait_idle(engine)
        assert time.monotonic() - began < 30
    cluster.remove_node(other)


def test_a_node_that_only_loses_is_set_aside_and_the_others_go_on(make):
    lines = []
    with closing(make(1, say=lines.append)) as engine:
        nodes = []
        for seed in range(3):
            (worker,) = wait_idle(engine)
            nodes.append(engine.node(worker))
            engine.submit(worker, make_job("deadly", seed=seed))
            wait_for(engine, Died)
        assert len(set(nodes)) == 1
        assert any(line.startswith("node set aside: ") for line in lines)
        deadline = time.monotonic() + 120
        while engine.nodes() in ([], nodes[:1]) and time.monotonic() < deadline:
            engine.poll(0.2)
        (worker,) = wait_idle(engine)
        assert engine.node(worker) != nodes[0]


def test_what_has_no_room_is_said_and_given_up(make, monkeypatch):
    monkeypatch.setattr("rnnbench.sweep.engines.ray.COMPLAIN_SECONDS", 1.0)
    lines = []
    impossible = Resources(labels={"pool": "none"})
    engine = make(1, resources=impossible, say=lines.append, patience=1.0)
    with closing(engine), pytest.raises(EngineError, match="on a node with pool=none"):
        wait_idle(engine)


def test_a_cluster_without_a_token_is_refused_unless_it_is_said_to_be_closed(cluster, monkeypatch):
    from rnnbench.sweep.cluster import connection

    connection.refuse_open(cluster.address)  # it asks for a token
    monkeypatch.setattr(connection, "_ASK", "")  # answers whoever asks
    with pytest.raises(EngineError, match="is open: whoever reaches it can run code"):
        connection.refuse_open(cluster.address)
    connection.refuse_open("127.0.0.1:6379")
    monkeypatch.setenv(connection.OPEN, "1")
    connection.refuse_open(cluster.address)


def test_an_address_where_no_cluster_is_says_what_to_do(monkeypatch):
    with pytest.raises(EngineError, match=r"no Ray cluster can be used at 127\.0\.0\.1:1"):
        RayConnection("127.0.0.1:1", print)
