"""Published results: those of our own tasks, and those of somebody else's package."""

import pytest
from support.plugin_site import plugin_site

from rnnbench.registry.published_results import (
    KNOWN,
    LiteratureError,
    Published,
    file_of,
    published,
    read_published,
)
from rnnbench.registry.registry import discover, load, schema

OURS = sorted(n for n, e in discover()[0]["tasks"].items() if e.distribution == "rnnbench")
LISTED = [n for n in OURS if file_of(discover()[0]["tasks"][n])]
RESULT = """\
- model: LSTM
  metric: accuracy
  value: 0.5
  paper: Somebody (2020), doi:10.1000/182
  where: table 3
  year: 2020
  protocol: test
  known: measured by its authors
"""


@pytest.mark.parametrize("task", LISTED)
def test_what_is_published_on_our_tasks_is_measured_as_they_measure(task):
    metrics = {m.name: m for m in load("tasks", task)().metrics}
    fields = schema("tasks", task).fields
    for result in published(task):
        assert result.known in KNOWN
        assert 1990 <= result.year <= 2026
        assert result.link.startswith("https://"), result.paper
        assert result.paper.count("(20") + result.paper.count("(19") or "https://" in result.paper
        assert result.metric in metrics, result
        assert set(result.settings) <= set(fields), result
        if metrics[result.metric].unit == "share":
            assert 0 <= result.value <= 1


def test_the_well_known_tasks_have_published_results():
    assert {"ptb", "ptb-char", "wikitext-2", "text8", "sequential-mnist", "ett-h1"} <= set(LISTED)
    assert published("char-lm") == ()
    assert published("no-such-task") == ()


def test_a_result_knows_its_address_and_its_short_name():
    def told(paper):
        return Published("m", "x", 1.0, paper, "table 1", 2014, "p", KNOWN[0])

    found = told("Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329")
    assert (found.link, found.short) == ("https://arxiv.org/abs/1409.2329", "Zaremba (2014)")
    assert (
        told("A (1997), doi:10.1162/neco.1997.9.8").link == "https://doi.org/10.1162/neco.1997.9.8"
    )
    assert told("Code, https://example.org/x?y, of 2014").link == "https://example.org/x?y"
    for hostile in ("javascript:alert(1)", "A, http://example.org", "data:text/html,x"):
        assert told(hostile).link == ""


def test_settings_say_beside_which_boards_it_stands():
    found = Published("m", "x", 1.0, "p", "w", 2014, "p", KNOWN[0], {"horizon": 96})
    assert found.belongs({"horizon": 96, "length": 336})
    assert not found.belongs({"horizon": 192})
    assert not found.belongs({})


@pytest.fixture
def site(tmp_path, monkeypatch):
    yield from plugin_site(tmp_path / "site", monkeypatch)


def test_a_strangers_package_brings_results_of_its_own(site, tmp_path):
    project = tmp_path / "project"
    package = project / "rnnbench_strange"
    (package / "literature").mkdir(parents=True)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "rnnbench-strange"\nversion = "1"\n'
        '[project.entry-points."rnnbench.tasks"]\nstrange = "rnnbench_strange.task:Strange"\n'
    )
    (package / "__init__.py").write_text("raise SystemExit('nobody imports this')\n")
    (package / "task.py").write_text("")
    (package / "literature" / "strange.yaml").write_text(RESULT)
    site.add(project)
    (found,) = published("strange")
    assert (found.model, found.value) == ("LSTM", 0.5)
    assert found.link == "https://doi.org/10.1000/182"


@pytest.mark.parametrize(("change", "message"), [
    (("value: 0.5", "value: fast"), "value is 'fast', expected a number"),
    (("value: 0.5", "value: true"), "value is True"),
    (("year: 2020", "year: 2020.5"), "year is 2020.5, expected a whole number"),
    (("  year: 2020\n", ""), "missing or unknown year"),
    (("where:", "table:"), "missing or unknown table"),
    (("by its authors", "by magic"), "known is one of: measured by its authors;"),
    (("- model", "model"), "x.yaml:"),
])  # fmt: skip
def test_a_list_that_is_none_is_refused_with_its_place(tmp_path, change, message):
    path = tmp_path / "x.yaml"
    path.write_text(RESULT.replace(*change))
    with pytest.raises(LiteratureError, match=message) as refused:
        read_published(path)
    assert "x.yaml" in str(refused.value)
