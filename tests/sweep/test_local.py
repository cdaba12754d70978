"""The engine of one machine: real processes, killed and frozen."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from support import TESTS
from support.engine_events import make_job, wait_for, wait_idle
from support.fake_work import make_engine, starts

from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.channel import Channel
from rnnbench.sweep.engines.protocol import Alive, Died, EngineError, Finished, ValidationReport
from rnnbench.sweep.engines.worker import WorkerSetup
from rnnbench.sweep.engines.worker_process import WorkerProcess
from rnnbench.sweep.ledger.process_identity import is_dead, start_time


def is_alive(pid):
    return start_time(pid) is not None


def test_a_warm_worker_runs_one_job_after_another(tmp_path):
    with closing(make_engine(tmp_path)(1)) as engine:
        for seed in range(3):
            (worker,) = wait_idle(engine)
            engine.submit(worker, make_job(seed=seed))
            assert engine.idle() == []
            (event,) = [e for e in wait_for(engine, Finished) if isinstance(e, Finished)]
            assert (event.key, event.ending.status) == (f"job-{seed}", "done")
            assert event.ending.curve[-1] == (200, event.ending.value)
    assert len({pid for _, _, pid in starts(tmp_path)}) == 1
    assert is_dead(worker)


def test_a_worker_asks_and_is_told_to_prune(tmp_path):
    with closing(make_engine(tmp_path)(1)) as engine:
        engine.submit(wait_idle(engine)[0], make_job(asks=True))
        for step in (50, 100):
            report = wait_for(engine, ValidationReport)[-1]
            assert report[:3] == ("job-0", 1, step)
            engine.reply("job-0", step == 100)
        ending = wait_for(engine, Finished)[-1].ending
    assert ending.status == "pruned"
    assert [s for s, _ in ending.curve] == [50, 100]


def test_a_worker_that_dies_takes_only_its_own_job_and_is_replaced(tmp_path):
    with closing(make_engine(tmp_path)(2)) as engine:
        first, second = wait_idle(engine, 2)
        engine.submit(first, make_job("deadly", seed=1))
        engine.submit(second, make_job(seed=2, seconds=0.3))
        events = wait_for(engine, Finished)
        (died,) = [e for e in events if isinstance(e, Died)]
        assert died[:2] == ("job-1", 1)
        assert "SIGKILL" in died.reason
        assert "worker-0.log" not in died.reason, "it is empty"
        idle = wait_idle(engine, 2)
        assert first not in idle
        assert second in idle


def test_a_worker_that_dies_names_its_log_where_it_left_something_there(tmp_path):
    setup = WorkerSetup("support.fake_work:execute", str(tmp_path), Trainer(), os.getpid(), 1.0)
    log = tmp_path / "worker.log"
    log.write_text("of the worker before it\n")
    silent = WorkerProcess(setup, log, keep_log=True)
    assert "its log is" not in silent.bury()
    talkative = WorkerProcess(setup, log, keep_log=True)
    log.write_text(log.read_text() + "Fatal Python error\n")
    assert f"its log is {log}" in talkative.bury()


def test_a_worker_gives_signs_of_life_until_it_is_frozen(tmp_path):
    with closing(make_engine(tmp_path, beat=0.1)(1)) as engine:
        engine.submit(wait_idle(engine)[0], make_job(seconds=0.5))
        assert sum(isinstance(e, Alive) for e in wait_for(engine, Finished)) >= 2
        engine.submit(wait_idle(engine)[0], make_job("frozen", seed=1))
        time.sleep(0.5)
        engine.poll(0)
        assert engine.poll(0.4) == []
        engine.kill("job-1")
        assert wait_for(engine, Died)[-1].key == "job-1"


def test_a_fault_of_the_work_function_is_an_ending_and_not_a_death(tmp_path):
    with closing(make_engine(tmp_path)(1)) as engine:
        engine.submit(wait_idle(engine)[0], make_job("raises"))
        ending = wait_for(engine, Finished)[-1].ending
        assert ending.status == "crashed"
        assert "RuntimeError: a fault of the runner" in ending.reason
    (log,) = tmp_path.glob("runs/*/log.txt")
    assert log.read_text().startswith("== attempt 1, ")
    assert "Traceback" in log.read_text()


def test_work_that_cannot_be_imported_stops_the_engine_with_the_reason(tmp_path):
    with (
        closing(make_engine(tmp_path, work="support.fake_work:excute")(1)) as engine,
        pytest.raises(EngineError, match="has no attribute 'excute'"),
    ):
        wait_idle(engine)


def test_a_job_that_holds_too_much_memory_is_ended_and_says_so(tmp_path):
    with closing(make_engine(tmp_path, memory=1_000_000)(1)) as engine:
        engine.submit(wait_idle(engine)[0], make_job(seconds=30.0))
        died = wait_for(engine, Died)[-1]
        assert died.too_large
        assert "and may hold 0.001 GB" in died.reason
        wait_idle(engine)


def test_each_worker_sees_its_own_gpus(tmp_path):
    with closing(make_engine(tmp_path, gpus=["0,1", "GPU-2"])(2)) as engine:
        for seed, worker in enumerate(wait_idle(engine, 2)):
            engine.submit(worker, make_job("says-gpus", seed=seed))
        reasons = []
        while len(reasons) < 2:
            reasons += [e.ending.reason for e in wait_for(engine, Finished)]
        assert sorted(r.split("sees ")[1].split(" (")[0] for r in reasons) == ["0,1", "GPU-2"]


def test_stopping_ends_running_jobs(tmp_path):
    with closing(make_engine(tmp_path)(1)) as engine:
        engine.submit(wait_idle(engine)[0], make_job(seconds=30.0))
        wait_for(engine, Alive)
        engine.stop()
        assert "SIGTERM" in wait_for(engine, Died)[-1].reason


def test_no_worker_outlives_its_driver(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from support.fake_work import make_engine\n"
        "from support.engine_events import make_job, wait_idle\n"
        f"engine = make_engine(Path({str(tmp_path)!r}))(2)\n"
        "for i, worker in enumerate(wait_idle(engine, 2)):\n"
        "    engine.submit(worker, make_job(seed=i, seconds=60.0))\n"
        "    print(worker.split(':')[1], flush=True)\n"
        "time.sleep(60)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, stdout=subprocess.PIPE)
    workers = [int(driver.stdout.readline()) for _ in range(2)]
    assert all(map(is_alive, workers))
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    deadline = time.monotonic() + 60
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, workers))


def test_half_a_message_does_not_block_the_receiver():
    import pickle
    import socket
    import struct

    ours, theirs = socket.socketpair()
    with theirs, closing(Channel(ours)) as channel:
        content = pickle.dumps("x" * 100_000)
        message = struct.pack("!Q", len(content)) + content
        theirs.sendall(message[:50_000])
        assert channel.receive() == []
        theirs.sendall(message[50_000:] + message[:5])
        assert channel.receive() == ["x" * 100_000]
        theirs.close()
        assert channel.receive() == []
        assert channel.closed
