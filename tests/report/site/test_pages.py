"""What the pages of the site say, and what they must never have."""

import dataclasses
import html
import json
import re
from html.parser import HTMLParser

import pytest
from report.site_of import good, hostile, trial
from support.fake_records import make_spec

from rnnbench.report.site.gather import Gathered
from rnnbench.report.site.pages import Site
from rnnbench.report.site.repeat_command import command
from rnnbench.report.site.sweeps import SweepCell
from rnnbench.spec.from_command_line import read_request


@pytest.fixture(scope="module")
def site():
    return Site(good())


def told(script):
    """The value of a file of data."""
    assert script.startswith("rnnbench(")
    return json.loads(script.removeprefix("rnnbench(").rstrip().removesuffix(")"))


def test_the_overview_says_which_rows_may_be_the_best(site):
    page = site.render("index.html")
    assert f"{len(good().records)} runs on 3 tasks" in page
    assert 'href="tasks/char-lm.html"' in page
    assert "<bdi>mgu</bdi>" in page
    assert re.search(r"\d of \d rows", page)
    assert "The best is, with 95%, " in page
    assert 'href="sweeps/quick.html"' in page


def test_an_empty_store_says_how_to_begin():
    site = Site(Gathered((), ()))
    assert "rnnbench sweep sweeps/quickstart.yaml" in site.render("index.html")
    assert site.paths == ["index.html", "run.html"]


def test_what_could_not_be_read_is_named():
    gathered = dataclasses.replace(good(), damaged={"run-1": "damaged: not JSON"})
    assert "damaged: not JSON" in Site(gathered).render("index.html")


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
    gathered = good()
    (paper,) = gathered.literature["char-lm"]
    other = dataclasses.replace(paper, settings={"length": 7})
    page = Site(dataclasses.replace(gathered, literature={"char-lm": (other,)}))
    page = page.render("tasks/char-lm.html")
    assert 'class="reference"' not in page
    assert "stands beside boards with <bdi>length=7" in page


def test_a_list_of_published_results_that_cannot_be_read_is_named_on_the_page():
    gathered = dataclasses.replace(good(), literature={"char-lm": "char-lm.yaml:3: no year"})
    assert "char-lm.yaml:3: no year" in Site(gathered).render("tasks/char-lm.html")


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
    assert any(".plots" in path for path in site.paths)
    figures = 0
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
        figures += len(page.svgs)
        assert 'href="#main"' in content
        assert "default-src 'none'" in html.unescape(content)
        assert "unsafe" not in content
    assert figures


def drawings(site):
    """What is drawn of each run, by its id."""
    plots = [path for path in site.paths if ".plots" in path]
    return {run: drawn for path in plots for run, drawn in told(site.render(path)).items()}


def test_drawn_figures_of_hostile_runs_are_escaped():
    gathered = hostile()
    drawn = drawings(Site(gathered))
    assert set(drawn) == {record.run_id for record in gathered.records}
    drawn_somewhere = 0
    for figures in drawn.values():
        page = Checks()
        page.feed(figures)
        drawn_somewhere += len(page.svgs)
    assert drawn_somewhere > 0
