"""A sweep tells of its end, faults and budget, and is harmed by nothing that fails there."""

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.small_sweeps import SWEEP, complaint_about, run

from rnnbench.errors import OutageError, SweepError
from rnnbench.results.outages import Fault
from rnnbench.sweep.breaker import ALIKE, Breaker
from rnnbench.sweep.file.notify import Notify
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import SweepBusyError
from rnnbench.sweep.operations import notifier as notifications
from rnnbench.sweep.operations.notifier import Notifier

ONE = SWEEP.replace("[plain, explodes]", "[plain]").replace("trials: 3", "trials: 1")
WRITES = (
    sys.executable, "-c",
    "import os, sys; open(os.environ['TOLD'], 'a').write("
    "os.environ['RNNBENCH_EVENT'] + ': ' + sys.stdin.read())",
)  # fmt: skip


@pytest.fixture
def told(tmp_path, monkeypatch):
    path = tmp_path / "told.txt"
    path.touch()
    monkeypatch.setenv("TOLD", str(path))
    return path


@contextmanager
def webhook(status=200):
    """A server on this machine, and what was posted to it."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret-part", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tell(text, root, notify, said=None, **options):
    """Run a sweep as the command does, and tell of its end."""
    notifier = Notifier("sweep", notify, (said if said is not None else []).append)
    with notifier.watching():
        outcome = run(text, root, on_breaker=notifier.tell_breaker, **options)
        notifier.tell_end(outcome)
    return outcome


def test_the_end_of_a_sweep_is_told_by_command_and_by_webhook(tmp_path, told, monkeypatch):
    with webhook() as (address, posted):
        monkeypatch.setenv("TEAM_WEBHOOK", address)
        outcome = tell(ONE, tmp_path, Notify(WRITES, "$TEAM_WEBHOOK"))
    assert told.read_text().startswith("end: sweep sweep complete: 2 trials done")
    assert "CPU hours" in told.read_text()
    (message,) = posted
    assert (message["event"], message["sweep"]) == ("end", "sweep")
    assert message["text"].startswith(outcome.summary())


def test_a_cell_without_a_result_and_a_spent_budget_are_told_as_such(tmp_path, told):
    nan = ONE.replace("[plain]", "[always-nan]")
    tell(nan, tmp_path / "nan", Notify(WRITES))
    tell(ONE + "budget: {hours: 1e-9}\n", tmp_path / "budget", Notify(WRITES))
    first, *_, second = [
        line for line in told.read_text().splitlines() if not line.startswith("taken")
    ]
    assert first.startswith("failure: sweep sweep complete: 0 trials done")
    assert second.startswith("budget: sweep sweep stopped")
    assert "its budget of 1e-09 hours is spent" in second


def test_an_error_of_the_driver_is_told_and_one_that_will_be_tried_again_is_not(told, monkeypatch):
    def fail(error):
        with pytest.raises(type(error)), Notifier("s", Notify(WRITES), print).watching():
            raise error

    fail(OutageError("the database is away"))
    fail(RuntimeError("a fault of ours"))
    fail(SweepError("a mistake in the file"))
    fail(SweepBusyError("another process runs it"))
    monkeypatch.setenv("RNNBENCH_SUPERVISED", "1")
    fail(OutageError("the database is away again"))
    assert told.read_text().splitlines() == [
        "failure: sweep s ended with an error: the database is away",
        "failure: sweep s ended with an error: RuntimeError: a fault of ours",
    ]


def test_faults_that_stop_the_placing_of_trials_are_told(told):
    notifier = Notifier("s", Notify(WRITES), print)
    breaker = Breaker("rnnbench sweep resume s", lambda _: None, opened=notifier.tell_breaker)
    fault = Fault("disk", "the disk is full", "make room")
    with notifier.watching():
        for number in range(ALIKE):
            breaker.note_fault(str(number), fault, "no space left", "node", ["node"])
    assert told.read_text().startswith("breaker: sweep s: no new trials are placed")


@pytest.mark.parametrize(
    ("notify", "why"),
    [
        (
            Notify(("false",)),
            "failed, and nobody was told of 'end': false ended with 1",
        ),
        (Notify(("sleep", "60")), "notify.command failed"),
        (Notify(webhook="http://127.0.0.1:9/secret-part"), "127.0.0.1: [Errno 111]"),
    ],
)
def test_a_notification_that_fails_says_so_and_harms_no_sweep(tmp_path, monkeypatch, notify, why):
    monkeypatch.setattr(notifications, "COMMAND_SECONDS", 1.0)
    said, began = [], time.monotonic()
    outcome = tell(ONE, tmp_path, notify, said)
    assert outcome.exit_code == 0
    assert why in said[0]
    assert "secret-part" not in said[0]
    assert time.monotonic() - began < 50


def test_a_webhook_that_refuses_says_so_without_its_address(tmp_path):
    said = []
    with webhook(status=403) as (address, _):
        notifier = Notifier("s", Notify(webhook=address), said.append)
        with notifier.watching():
            notifier.tell("end", "done")
    (line,) = said
    assert "127.0.0.1 answered 403" in line
    assert "secret-part" not in line


def test_only_the_events_that_were_asked_for_are_told_and_no_secret_is(told, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "canary4711canary4711")
    notifier = Notifier("s", Notify(WRITES, on=("failure",)), print)
    with notifier.watching():
        notifier.tell("end", "done")
        notifier.tell("failure", "API_TOKEN=canary4711canary4711")
    assert told.read_text().startswith("failure: ")
    assert "canary4711" not in told.read_text()


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        (Notify(("no-such-program-4711",)), "there is no program 'no-such-program-4711'"),
        (
            Notify(webhook="$NO_SUCH_VARIABLE"),
            "the variable NO_SUCH_VARIABLE of the environ",
        ),
    ],
)
def test_what_cannot_be_told_by_is_refused_before_a_trial_runs(notify, said):
    assert "NO_SUCH_VARIABLE" not in os.environ
    with pytest.raises(SweepError, match=said):
        Notifier("s", notify, print)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notify: {mail: x}", "unknown key 'mail'"),
        ("notify: {command: 5}", "command is a line or a list of words"),
        ('notify: {command: "mail \'x"}', "No closing quotation"),
        ("notify: {command: 'mail x >> log'}", "no shell runs it, so '>>' would be a word of it"),
        ("notify: {command: 'mail x; rm y'}", 'write [sh, -c, "mail x; rm y"]'),
        ("notify: {command: 'mail $WHO'}", "so '$WHO' would be"),
        ("notify: {webhook: example.org}", "webhook is an address (https://...), or $NAME"),
        ("notify: {webhook: ''}", "webhook is an address"),
        ("notify: {command: mail x, on: [ends]}", "unknown event 'ends'; did you mean 'end'"),
        ("notify: {on: [end]}", "nobody would be told"),
    ],
)
def test_a_mistake_in_notify_names_its_line(text, said):
    assert said in complaint_about(text)


def test_a_command_is_split_into_words_and_run_by_no_shell():
    sweep = parse_sweep(SWEEP + "notify: {command: \"mail -s 'a sweep; rm x' ann\"}")
    assert sweep.notify.command == ("mail", "-s", "a sweep; rm x", "ann")
