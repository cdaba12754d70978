"""Makes jobs for an engine, and waits for its events."""

import time

from rnnbench.sweep.engines.protocol import Job
from rnnbench.sweep.file.sweep import GridCell
from support.fake_work import compose


def make_job(architecture="plain", seed=0, attempt=1, asks=False, **task):
    """Return a job of fake work."""
    cell = GridCell({"name": "easy", **task}, {"name": architecture}, ())
    spec = compose(cell, {}, {}, seed, False)
    return Job(f"job-{seed}", attempt, spec.as_dict(), "sweep", "study", asks)


def wait_for(engine, kind, seconds=60.0):
    """Return the events up to and including the first of a kind."""
    events, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        events += engine.poll(0.2)
        if any(isinstance(e, kind) for e in events):
            return events
    raise AssertionError(f"no {kind.__name__} within {seconds} s, only {events}")


def wait_idle(engine, count=1, seconds=60.0):
    """Wait until so many workers are idle; return them."""
    deadline = time.monotonic() + seconds
    while len(engine.idle()) < count:
        assert time.monotonic() < deadline, "no worker got ready"
        engine.poll(0.1)
    return engine.idle()
