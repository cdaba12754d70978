"""What a sweep takes is metered, also by what is killed, and its budget ends it in order."""

import json
import signal
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from support import TESTS
from support.command_line import call
from support.database_servers import MariaDB, PostgreSQL, open_server
from support.fake_work import FAKE_PLUGINS, starts
from support.small_sweeps import RUNS, SWEEP, Notes, complaint_about, rows_of, run

from rnnbench.report.page.page import render_page
from rnnbench.results.store import Store
from rnnbench.sweep.engines.protocol import Usage
from rnnbench.sweep.file.budget import Prices, SweepLimits
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.spending import Account, Held, SpendingBook
from rnnbench.sweep.plan import plan_cells
from rnnbench.sweep.running_trials import RunningTrials

SCRIPT = TESTS / "support" / "fake_work.py"
SLOW = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.2}]")
PRICED = SLOW + "resources: {cpus: 2}\nprices: {cpu_hour: 3600, currency: EUR}\n"  # 1 EUR a second


def taken(root):
    return json.loads(call("sweep", "status", "sweep", "--json", "--out", root))["taken"]


def test_hours_and_money_of_each_cell_are_those_for_which_trials_held_cpus(tmp_path):
    outcome = run(PRICED, tmp_path)
    now = taken(tmp_path)
    assert now == outcome.last.account.as_dict()
    assert len(now["cells"]) == 4
    for cell in now["cells"].values():
        assert 5 * 0.2 * 2 <= cell["cpu_hours"] * 3600 <= 5 * 4.0 * 2  # runs, seconds, CPUs
        assert cell["money"] == pytest.approx(cell["cpu_hours"] * 3600)
    assert now["cpu_hours"] == pytest.approx(sum(c["cpu_hours"] for c in now["cells"].values()))
    assert now["money"] == pytest.approx(now["cpu_hours"] * 3600)
    assert (now["gpu_hours"], now["limits"]) == (0.0, {})
    assert now["prices"] == {"gpu_hour": None, "cpu_hour": 3600.0, "currency": "EUR"}
    assert 0 < now["hours"] * 3600 < 120
    said = call("sweep", "status", "sweep", "--out", tmp_path)
    assert "CPU h" in said
    assert "EUR" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("taken: ")


def test_a_budget_ends_a_sweep_in_order_and_a_larger_one_goes_on(tmp_path):
    text, notes = SLOW + "budget: {cpu_hours: 0.0004}\n", Notes()
    outcome = run(text, tmp_path, progress=notes)
    assert not outcome.complete
    assert outcome.exit_code == 1
    assert "its budget of 0.0004 CPU hours is spent" in outcome.summary()
    assert "`rnnbench sweep extend sweep` gives it more" in outcome.summary()
    assert {row.state for row in rows_of(tmp_path)} <= {"planned", "done", "failed"}
    assert "sweep: its budget of 0.0004 CPU hours is spent" in call(
        "sweep", "status", "sweep", "--out", tmp_path
    )
    begun = len(starts(tmp_path))
    assert run(text, tmp_path).over, "it starts nothing where nothing is left to take"
    assert len(starts(tmp_path)) == begun

    said = call("sweep", "extend", "sweep", "--cpu-hours", "1", "--out", tmp_path)
    assert "is asked for a budget of 1 CPU hour in all" in said
    assert run(text, tmp_path).complete
    done = [row for row in rows_of(tmp_path) if row.ended]
    assert len(done) == RUNS
    assert taken(tmp_path)["limits"] == {"cpu_hours": 1.0}


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("{hours: 0.0005}", "0.0005 hours"),
        ("{money: 2}", "2.00 EUR"),
    ],
)
def test_a_sweep_may_be_bounded_by_the_clock_and_by_money(tmp_path, budget, words):
    outcome = run(PRICED + f"budget: {budget}\n", tmp_path)
    assert outcome.over == f"its budget of {words} is spent"
    assert not outcome.complete


def test_what_a_killed_driver_had_taken_is_kept_and_added_to(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(PRICED)
    command = [sys.executable, SCRIPT, file, tmp_path, "committed", "8"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    before = taken(tmp_path)["cpu_hours"]
    assert before > 0
    assert run(PRICED, tmp_path).complete
    assert taken(tmp_path)["cpu_hours"] > before


@pytest.mark.parametrize("server", [PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def test_what_is_taken_adds_up_on_a_server_too(tmp_path, server):
    server = open_server(server)
    try:
        url = server.fresh("rnnbench")
        with closing(Store(tmp_path, url)) as store:
            book = SpendingBook(store.engine, "sweep")
            for amounts in (Held(2.0, 1.0), Held(), Held(1.0, 0.0)):  # MySQL counts changed rows
                book.add(0.0, {"a.1": amounts})
            book.extend({"hours": 5.0})
            account = SpendingBook(store.engine, "sweep").read(SweepLimits(hours=2.0), Prices())
    finally:
        server.close()
    assert account.by_study == {"a.1": Held(3.0, 1.0)}
    assert account.limits == SweepLimits(hours=5.0)


def test_a_gpu_that_several_trials_use_is_counted_once():
    running, cell = RunningTrials(), SimpleNamespace(plan=SimpleNamespace(study="s"))
    for key, gpus in (("a", ["0"]), ("b", ["0"]), ("c", ["1", "2"])):
        running.start(cell, SimpleNamespace(key=key), "worker", "node")
        running._trials[key].usage = Usage(0, dict.fromkeys(gpus, (0.5, 1, 1)))
    assert [use.gpus for use in running.take_uses()] == [0.5, 0.5, 2.0]
    running.remove("a")
    assert [use.gpus for use in running.take_uses()] == [0.5, 1.0, 2.0], "what ended counts too"
    assert len(running.take_uses()) == 2


def test_money_is_hours_of_gpus_and_cpus_at_their_prices():
    held, prices = Held(cpu_seconds=7200, gpu_seconds=1800), Prices(gpu_hour=3.0, cpu_hour=0.5)
    assert held.money(prices) == pytest.approx(2.5)
    assert held.money(Prices()) is None
    account = Account(3600, {"s": held}, SweepLimits(money=2.5), prices)
    assert account.over() == "its budget of 2.50 is spent"
    assert account.line() == "taken: 1 hour, 0.5 GPU hours, 2 CPU hours, 2.50 of 2.50"


def test_budget_prices_change_neither_trials_nor_studies():
    plain, priced = (plan_cells(parse_sweep(text), FAKE_PLUGINS) for text in (SLOW, PRICED))
    bounded = plan_cells(parse_sweep(SLOW + "budget: {hours: 1}\n"), FAKE_PLUGINS)
    for other in (priced, bounded):
        assert [p.study for p in other] == [p.study for p in plain]
        assert [p.definition for p in other] == [p.definition for p in plain]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budget: {hour: 1}", "unknown key 'hour'; did you mean 'hours'"),
        ("budget: {steps: 100}", "settings: {all: {budget.steps: ...}}"),
        ("budget: {hours: 0}", "hours is a number above 0, got 0"),
        ("budget: {hours: 2h}", "hours is a number above 0, got '2h'"),
        ("budget: {money: 5}", "a budget of money needs prices"),
        ("budget: 5", "budget is a mapping"),
        ("prices: {gpu_hour: -1}", "gpu_hour is a number from 0 on, got -1"),
        ("prices: {currency: 5}", "currency is a word, got 5"),
    ],
)
def test_a_mistake_in_budget_or_prices_names_its_line(text, said):
    assert said in complaint_about(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hours", "5"], "has no budget of hours, so there is nothing to extend"),
        (["--cpu-hours", "0.5"], "the budget is 1 CPU hour in all already; give more"),
        ([], "extend by what? give --trials N, --seed S, or a larger budget"),
    ],
)
def test_an_extension_that_gives_nothing_is_refused(tmp_path, options, said):
    text = SWEEP.replace("trials: 3", "trials: 1").replace("[plain, explodes]", "[plain]")
    run(text + "budget: {cpu_hours: 1}\n", tmp_path)
    assert said in call("sweep", "extend", "sweep", *options, "--out", tmp_path, code=2)


def test_pages_tell_what_a_sweep_took(tmp_path):
    with closing(Store(tmp_path)) as store:
        SpendingBook(store.engine, "sweep").add(60.0, {"a.1": Held(7200.0, 3600.0)})
        account = SpendingBook(store.engine, "sweep").read(SweepLimits(), Prices(gpu_hour=2.0))
    page = render_page(
        [], taken=account.line(), taken_by_cell=[("a", dict(account.cells())["a.1"])]
    )
    for text in ("What it took", "2 CPU hours", "1 GPU hour", "2.00", "GPU h"):
        assert text in page
    assert "What it took" not in render_page([])
