"""The view of a sweep on a terminal, and where there is none."""

import io

import pytest
from rich.console import Console

from rnnbench.report.terminal.sweep_progress import TerminalProgress, duration, line
from rnnbench.sweep.file.sweep import GridCell
from rnnbench.sweep.progress import CellTally, Snapshot, SweepOutcome


def cell(name):
    return GridCell({"name": "task"}, {"name": name}, ())


RUNNING = CellTally(
    cell("lstm"), "lstm.1", trials=4, done=1, running=2, failed=1, finals=2, best=0.123456
)
REFUSED = CellTally(cell("tree"), "tree.1", refused="it needs a tree\n  choose another")
STUCK = CellTally(cell("gru"), "gru.1", trials=2, failed=2, finals=2, problem="no trial is done")
NOW = Snapshot((RUNNING, REFUSED, STUCK), 60.0, per_minute=3.0, seconds_left=80.0)


def shown(*, terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    with TerminalProgress(console) as view:
        view.show(NOW)
        view.note("[bold] is kept as it is")
        view.show(NOW)
    return out.getvalue()


def test_the_line_counts_what_ended_and_what_is_left():
    assert line(NOW) == (
        "1 of 2 cells complete, 4 of 6 trials, 0 of 4 final runs, 2 running, 3 failed, "
        "1 cells refused, 3 trials/min, about 80 s left"
    )


def test_without_a_terminal_the_same_line_is_not_repeated():
    assert shown(terminal=False).splitlines() == [line(NOW), "[bold] is kept as it is"]


def test_on_a_terminal_each_cell_has_a_row_with_its_reason_or_its_best():
    text = shown(terminal=True)
    assert "task.lstm" in text
    assert "0.12346" in text
    assert "refused" in text
    assert "it needs a tree" in text
    assert "none possible" in text
    assert "[bold] is kept as it is" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12000, "3 h 20 min")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert duration(seconds) == text


def test_the_last_line_and_the_exit_code_tell_the_truth():
    stuck = SweepOutcome("s", Snapshot((STUCK,)), ran=2, taken=0, lost_workers=0)
    assert stuck.complete
    assert stuck.exit_code == 1
    assert "0 of 2 final runs done" in stuck.summary()
    stopped = SweepOutcome("s", NOW, ran=1, taken=0, lost_workers=0, signal=15)
    assert stopped.exit_code == 143
    assert "stopped" in stopped.summary()
    assert "the same command goes on from here" in stopped.summary()
    done = CellTally(cell("lstm"), "lstm.1", trials=4, done=4, finals=2, finals_done=2)
    late = SweepOutcome("s", Snapshot((done,)), ran=1, taken=0, lost_workers=0, signal=15)
    assert "complete" in late.summary()
    assert late.exit_code == 0, "it was asked to stop when nothing was left"
