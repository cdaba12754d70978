"""The site's files: what they say, how they are called, how large they are."""

import dataclasses
import html
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from support.fake_records import make_record, make_spec
from support.site_of import EVIL, EVIL_TASK, good, hostile, trial

from rnnbench.leaderboard.boards import build
from rnnbench.report.site import names
from rnnbench.report.site.gather import Gathered, gather, latest, read_examples, version
from rnnbench.report.site.packing import pack_runs
from rnnbench.report.site.pages import Site
from rnnbench.report.site.repeat_command import command
from rnnbench.report.site.sweeps import SweepCell
from rnnbench.report.site.writer import SiteError, write_site
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.from_command_line import read_request


@pytest.fixture(scope="module")
def site():
    return Site(good())


def told(script):
    """The value of a file of data."""
    assert script.startswith("rnnbench(")
    return json.loads(script.removeprefix("rnnbench(").rstrip().removesuffix(")"))


# --------------------------------------------------------------------------------------- names


def test_plain_names_are_file_names_and_odd_ones_are_spelt_without_what_is_odd():
    assert names.file_name("char-lm") == "char-lm"
    odd = ("../../etc/passwd", "A", "a", "a b", "a/b", "con", "", "é", EVIL, "x" * 300, ".hidden")
    made = [names.file_name(name) for name in odd]
    assert len(set(made)) == len(odd)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) for name in made)
    assert not any(".." in name for name in made)


def test_a_run_is_linked_by_what_an_address_can_hold():
    assert names.run_link("char-lm", "a+b/<c>") == "run.html#char-lm/a+b%2F%3Cc%3E"


# --------------------------------------------------------------------------------- the overview


def test_the_overview_says_who_leads_and_who_ties(site):
    page = site.render("index.html")
    assert f"{len(good().records)} runs on 3 tasks" in page
    assert 'href="tasks/char-lm.html"' in page
    assert "<bdi>mgu</bdi>" in page
    assert re.search(r"a tie of \d", page)
    assert 'href="sweeps/quick.html"' in page


def test_an_empty_store_says_how_to_begin():
    site = Site(Gathered((), ()))
    assert "rnnbench sweep sweeps/quickstart.yaml" in site.render("index.html")
    assert site.paths == ["index.html", "run.html"]


def test_what_could_not_be_read_is_named():
    found = dataclasses.replace(good(), damaged={"run-1": "damaged: not JSON"})
    assert "damaged: not JSON" in Site(found).render("index.html")


# ----------------------------------------------------------------------------------- a task


def test_published_results_stand_in_a_body_of_their_own_and_have_no_rank(site):
    page = site.render("tasks/char-lm.html")
    measured, published = re.search(
        r'<table class="results">.*?<tbody>(.*?)</tbody>\s*<tbody class="reference">(.*?)</tbody>',
        page,
        re.S,
    ).groups()
    assert "Zaremba" not in measured
    assert "Zaremba (2014)" in published
    assert "data-value" not in published
    for text in ("table 1", "words, test", "measured by its authors"):
        assert text in page
    assert 'href="https://arxiv.org/abs/1409.2329"' in page
    assert "Zaremba" not in site.render("tasks/digits.html")


def test_a_published_result_of_other_settings_stands_apart_from_the_ranked_rows():
    found = good()
    (paper,) = found.literature["char-lm"]
    other = dataclasses.replace(paper, settings={"length": 7})
    page = Site(dataclasses.replace(found, literature={"char-lm": (other,)}))
    page = page.render("tasks/char-lm.html")
    assert 'class="reference"' not in page
    assert "stands beside boards with <bdi>length=7" in page


def test_a_list_of_published_results_that_cannot_be_read_is_named_on_the_page():
    found = dataclasses.replace(good(), literature={"char-lm": "char-lm.yaml:3: no year"})
    assert "char-lm.yaml:3: no year" in Site(found).render("tasks/char-lm.html")


def test_a_row_leads_to_its_runs(site):
    page = site.render("tasks/char-lm.html")
    links = re.findall(r'href="\.\./run\.html#char-lm/(char-lm\.lstm\.[0-9a-f]{12})"', page)
    runs = told(site.render("data/char-lm.js"))["runs"]
    assert len(set(links)) == 3
    assert set(links) <= set(runs)


def test_examples_are_drawn_with_words_for_those_who_do_not_see_them(site):
    page = site.render("tasks/char-lm.html")
    assert "Looks most: the at der; dog at Hund." in page
    assert "past from 0.100 to 0.300" in page
    assert "ROMEO:\nBut soft" in page


# ------------------------------------------------------------------------------------ a run


def test_the_data_of_a_run_hold_its_figures_its_settings_and_its_command(site):
    data = told(site.render("data/char-lm.js"))
    (record,) = [r for r in good().records if r.spec.architecture.name == "mgu"]
    run = data["runs"][record.run_id]
    shared = data["shared"]
    assert run[0] == "done"
    assert " ".join(shared[i] for i in run[8]).startswith("rnnbench run char-lm mgu --seed 0 ")
    head, *pairs = shared[run[7][1]]
    assert shared[head] == ["Architecture", "mgu, version 1"]
    assert ["hidden", "128"] in [shared[i] for i in pairs]


def test_the_plots_of_a_run_show_curves_gradients_and_examples(site):
    plots = told(site.render("data/char-lm.plots0.js"))
    (mgu,) = [drawn for run, drawn in plots.items() if ".mgu." in run]
    for text in ("Gradient flow", "cell.0 from 0.100 to 0.0100", "validation bits_per_char",
                 "Attention, test item 1"):  # fmt: skip
        assert text in mgu


def test_the_command_of_a_run_makes_the_same_run():
    settings = ["task.length=12", "task.valid_items=9", "architecture.hidden=7",
                "tricks.clip.limit=0.25", "budget.steps=3", "optimizer.lr=0.02"]  # fmt: skip
    spec, _ = read_request("adding", "lstm", settings, ["clip"], None, 4, False)
    words = command(spec)
    assert words[:2] == ["rnnbench", "run"]
    again = [w.strip("'") for w in words]
    values = [w for w in again if "=" in w]
    tricks = [again[i + 1] for i, w in enumerate(again) if w == "--trick"]
    seed = int(again[again.index("--seed") + 1])
    made, _ = read_request(again[2], again[3], values, tricks, None, seed, "--no-test" not in again)
    assert made == spec


def test_the_command_is_quoted_for_a_shell_and_keeps_no_key():
    spec = make_spec()
    spec = dataclasses.replace(
        spec, architecture=dataclasses.replace(spec.architecture, settings=(("a", "x; rm -rf /"),))
    )
    assert "'architecture.a=\"x; rm -rf /\"'" in command(spec)
    secret = dataclasses.replace(spec, data="", architecture=dataclasses.replace(
        spec.architecture, settings=(("api_key", "sk-0123456789abcdefghij"),)
    ))  # fmt: skip
    assert "sk-0123456789" not in " ".join(command(secret))


# ------------------------------------------------------------------------------------ a sweep


def test_a_sweep_shows_which_setting_mattered_in_the_cells_that_can_tell(site):
    page = site.render("sweeps/quick.html")
    (section,) = re.findall(r"<tbody>(?:(?!<tbody>).)*83%.*?</tbody>", page, re.S)
    words = " ".join(re.sub(r"<[^>]*>", " ", section).split())
    assert words == "char-lm: gru + clip 12 83% 17%"


def test_trials_of_the_search_that_ended_with_a_value_are_counted_and_no_final_runs():
    trials = [trial("a", n, "done") for n in (0, 1, 1)]  # a trial on two seeds is one
    trials += [trial("a", 2, "pruned"), trial("a", 3, "failed"), trial("a", 7, "done", final=True)]
    assert SweepCell("char-lm", "gru", (), "x", None, tuple(trials)).searched == 2


def test_a_sweep_shows_each_trial_as_it_stands_and_why_others_are_not_there(site):
    page = site.render("sweeps/quick.html")
    for text in ("final run, seed 1: done", "trial 1: pruned", "trial 2: nan", "trial 3: running",
                 "the loss is nan", "zoneout acts on a recurrent cell"):  # fmt: skip
        assert text in page
    assert "name: quick\n\ntasks: []" in page
    assert page.count('<a class="chip') == 1  # only that run is known


# ---------------------------------------------------------------------------------- all pages


class Checks(HTMLParser):
    """What a page must never have, and what it must."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.headings, self.svgs, self.scopes = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "link"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style"
            if name in ("href", "src", "xlink:href"):
                assert re.match(r"(#|\.\./|https://|[a-z]+[./#])", value), value
                assert "javascript" not in value
        if tag == "svg":
            self.svgs.append(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "th":
            self.scopes.append(attributes.get("scope"))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)


@pytest.mark.parametrize("found", [good, hostile])
def test_every_page_is_inert_and_says_what_its_figures_show(found):
    site = Site(found())
    for path in site.paths:
        content = site.render(path)
        if path.endswith(".js"):
            assert "<" not in content
            assert told(content)
            continue
        page = Checks()
        page.feed(content)
        assert page.headings[0] == "h1"
        assert page.headings.count("h1") == 1
        assert len(page.ids) == len(set(page.ids)), path
        assert set(page.scopes) <= {"row", "col"}
        for svg in page.svgs:
            assert svg.get("aria-hidden") == "true" or svg.get("aria-label"), (path, svg)
        assert 'href="#main"' in content
        assert "default-src 'none'" in html.unescape(content)
        assert "unsafe" not in content


def test_drawn_figures_of_hostile_runs_are_escaped():
    site = Site(hostile())
    for path in site.paths:
        if ".plots" in path:
            for drawn in told(site.render(path)).values():
                Checks().feed(drawn)


# --------------------------------------------------------------------------------- the files


def test_a_site_is_written_and_what_an_older_one_had_is_removed(tmp_path):
    folder = tmp_path / "site"
    written = write_site(good(), folder)
    assert (folder / "index.html") in written
    less = dataclasses.replace(good(), boards=(), records=(), sweeps=())
    (folder / "data" / "mine.txt").write_text("kept")
    write_site(less, folder)
    left = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert left == {"index.html", "run.html", ".rnnbench-site.json", "data/mine.txt"}


def test_a_site_never_mixes_with_what_is_there(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(SiteError, match="holds something else"):
        write_site(good(), tmp_path)
    with pytest.raises(SiteError, match="is a file"):
        write_site(good(), tmp_path / "thesis.tex")
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_hostile_site_stays_in_its_folder(tmp_path):
    write_site(hostile(), tmp_path / "deep" / "site")
    assert [f.name for f in tmp_path.iterdir()] == ["deep"]
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["site"]
    stem = names.file_name(EVIL_TASK)
    assert (tmp_path / "deep" / "site" / "tasks" / f"{stem}.html").is_file()


def thousand():
    """A thousand runs on five tasks: twenty rows each, five trials and five seeds a row."""
    records = []
    for task in range(5):
        for place in range(20):
            tricks = ("zoneout", "clip", "layer-norm", "weight-drop", "recurrent-dropout")
            stack = tricks[: place % 5]
            spec = make_spec(f"task-{task}", f"cell-{place // 5}", stack)
            for number in range(5):
                lr = 1e-3 * (1 + number + place / 20)
                optimizer = dataclasses.replace(spec.optimizer, lr=lr)
                one = dataclasses.replace(spec, optimizer=optimizer, test=False)
                records.append(make_record(one, 1.5 + 0.01 * number))
                last = dataclasses.replace(spec, seed=number)
                records.append(make_record(last, 1.4 + 0.01 * place + 0.003 * number))
    return Gathered(build(records), records)


def test_a_thousand_runs_take_less_than_a_megabyte_beside_their_plots():
    found = thousand()
    assert len({r.run_id for r in found.records}) == 1000
    began = time.monotonic()
    site = Site(found)
    sizes = {path: len(site.render(path).encode()) for path in site.paths}
    assert time.monotonic() - began < 60  # some seconds on a machine of its own
    assert sum(size for path, size in sizes.items() if ".plots" not in path) < 1_000_000


# ----------------------------------------------------------------------------- from a store


def test_a_store_is_gathered_with_what_its_runs_kept(tmp_path):
    store = Store(tmp_path)
    record = make_record()
    store.write(record)
    folder = store.run_dir(record.run_id)
    (folder / "examples.json").write_text('{"format": 1, "examples": [{"kind": "text"}, 3]}')
    found = gather(store)
    assert found.tasks == ["char-lm"]
    assert found.examples(record.run_id) == [{"kind": "text"}]
    assert found.about["char-lm"].startswith("Predict the next character")
    assert gather(store, "adding").records == []
    store.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"examples": 3}', '{"examples": {"a": 1}}'])
def test_examples_that_are_none_are_left_out(tmp_path, text):
    store = Store(tmp_path)
    (store.run_dir("a-run") / "examples.json").write_text(text)
    assert read_examples(store, "a-run") == ()
    store.close()


def test_the_version_changes_with_a_record(tmp_path):
    store = Store(tmp_path)
    gather(store)
    before = version(store)
    assert version(store) == before
    store.write(make_record())
    assert version(store) != before
    store.close()


def test_of_several_attempts_of_a_run_the_latest_counts():
    first, second = make_record(status=Status.CRASHED), make_record(attempt=2)
    assert latest([second, first]) == [second]


def test_texts_that_runs_share_are_written_once():
    records = [make_record(make_spec(seed=seed)) for seed in range(9)]
    assert pack_runs("char-lm", records).count("valid_every") <= 1
    assert len(pack_runs("char-lm", records)) < len(pack_runs("char-lm", records[:1])) + 8 * 320


def test_a_site_is_written_without_torch_or_a_plugin_of_anybody(tmp_path):
    store = Store(tmp_path / "results")
    store.write(make_record())
    store.close()
    code = (
        "import sys\nfrom rnnbench.cli import main\n"
        f"main(['leaderboard', '--html', {str(tmp_path / 'site')!r}, '--out', "
        f"{str(tmp_path / 'results')!r}], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'optuna', 'ray', 'rnnbench_tasks', 'rnnbench_architectures')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "site" / "tasks" / "char-lm.html").is_file()
