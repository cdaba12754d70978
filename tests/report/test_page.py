"""The page of a board: well-formed, inert, and what it says."""

import dataclasses
import errno
import html.parser
import os
import re

import pytest
from report.hostile_boards import HOSTILE, NO_GATE, WHEN, ablation, hostile_boards
from support.fake_records import REFUSED, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Effect
from rnnbench.report.page import figures
from rnnbench.report.page.page import render_page, write_page
from rnnbench.results.record import Status
from rnnbench.stats import Estimate


class Page(html.parser.HTMLParser):
    """The tags of a page, with their attributes."""

    void = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_depends_on_the_boards_alone(boards):
    text = render_page(boards, "Results", refused=REFUSED, made=WHEN)
    assert Page(text).open == []
    assert text == render_page(boards, "Results", refused=REFUSED, made=WHEN)
    assert "2026-03-02 12:00 UTC" in text


def test_the_page_loads_nothing_and_runs_its_own_script_only(boards):
    text = render_page(boards, refused=REFUSED, made=WHEN)
    tags = Page(text).tags
    assert not {"link", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not {"src", "style", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    (policy,) = [a["content"] for _, a in tags if "Content-Security-Policy" in a.values()]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_every_table_has_a_caption_or_label_and_scopes(boards):
    tags = Page(render_page(boards, refused=REFUSED)).tags
    assert all("scope" in a for tag, a in tags if tag == "th")
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    regions = [a for _, a in tags if a.get("role") == "region"]
    assert all(a["tabindex"] == "0" for a in regions)
    assert all(a.get("aria-labelledby", ids[0]) in ids for a in regions)
    assert all("aria-labelledby" in a or "aria-label" in a for a in regions)


def test_the_page_tells_contenders_failures_protocol_refusals_and_provenance(boards):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", render_page(boards, refused=REFUSED)))
    for words in (
        "2,000 optimiser steps; validated every 200 steps",
        "1.803 ± 0.018",
        "3 of 3 runs failed",
        "2 × oom: out of memory: 2.1 GiB asked for",
        "zoneout acts on a recurrent cell; transformer has none",
        "AMD EPYC 7B13, 2 cores",
        "torch 2.13.0",
        "The best is, with 95%, ",
        "nowledged, that a gru man",
        "lstm: hidden=128, layers=1; zoneout: rate=0.1; adam:",
    ):
        assert words in text


def test_hostile_names_are_shown_as_text():
    refused = [dict.fromkeys(("task", "architecture", "tricks", "reason"), HOSTILE)]
    text = render_page(hostile_boards(), HOSTILE, refused=refused, command=HOSTILE)
    tags = [tag for tag, _ in Page(text).tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_command_is_redacted_on_the_page(boards):
    assert "hunter2" not in render_page(boards, command="rnnbench report --password hunter2")


def test_a_refused_combination_with_a_misspelt_field_is_an_error(boards):
    with pytest.raises(ValueError, match="tricks"):
        render_page(boards, refused=[{**REFUSED[0], "trick": "x"}])


def test_a_page_without_results_says_so():
    assert "No results yet" in render_page([])


def test_a_full_disk_leaves_the_old_page(boards, tmp_path, monkeypatch):
    path = tmp_path / "index.html"
    write_page(boards, path, made=WHEN)
    old = path.read_text()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"index\.html: No space left"):
        write_page([], path)
    assert path.read_text() == old
    assert list(tmp_path.iterdir()) == [path]


def test_boards_of_any_shape_can_be_drawn():
    one = [make_record(make_spec(seed=0), 1.5)]
    same = [make_record(make_spec(seed=k), 0.0, baselines={}) for k in range(3)]
    crash = make_record(status=Status.CRASHED)
    unknown = dataclasses.replace(crash, metric_info=[], selection={}, baselines={}, curve=[])
    flat = [
        dataclasses.replace(r, curve=[[1, 0.0, {"loss": 2.0}], [2, 0.0, {"loss": 2.0}]])
        for r in same
    ]
    many = [
        make_record(make_spec("char-lm", f"net{n}", seed=k), 10.0 ** (n - 5) + k * 1e-6)
        for n in range(12)
        for k in range(2)
    ]
    for records in (one, same, [unknown], flat, many):
        page = render_page(build(records))
        drawn = [v for _, attributes in Page(page).tags for v in attributes.values()]
        assert not any("nan" in v.split() or "inf" in v.split() for v in drawn if v)
        assert Page(page).open == []


def heat_cells(text):
    """The cells of the heat map, as {(trick, place): (class, text)}."""
    (table,) = re.findall(r'<table class="heatmap">.*?</table>', text, re.S)
    cells_by_place = {}
    for row in re.findall(r"<tr><th scope=.row.>.*?</tr>", table, re.S):
        name = re.sub(r"<[^>]*>", "", row.split("</th>")[0]).strip()
        cells = re.findall(r'<td class="number heat ([\w-]+)"[^>]*>(.*?)</td>', row, re.S)
        for place, (shade, text_shown) in enumerate(cells):
            cells_by_place[name, place] = (
                shade,
                " ".join(re.sub(r"<[^>]*>", " ", text_shown).split()),
            )
    return cells_by_place


def test_the_heat_map_says_in_words_what_it_says_in_colour():
    text = render_page(ablation(), refused=[NO_GATE])
    assert Page(text).open == []
    elman, lstm = 0, 1
    cells = heat_cells(text)
    assert cells["chrono-init", lstm] == ("plus-4", "+0.3000 ± 0.0034 ▲ helps · +16%")
    assert cells["zoneout", lstm][0] == "plus-2"
    assert cells["weight-drop", lstm][0] == "minus-3"
    assert "▼ hurts" in cells["weight-drop", elman][1]
    assert cells["clip", lstm][0] == "plus-0"
    assert "○ open" in cells["clip", lstm][1]
    assert cells["layer-norm", elman] == ("none", "failed")
    assert "1 of 5 seeds failed with it" in cells["layer-norm", lstm][1]
    assert cells["chrono-init", elman] == ("none", "refused")
    assert cells["zoneout", elman] == ("none", "not run")
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text))
    assert "elman, chrono-init: refused: chrono-init acts on a forget gate; elman has none" in words
    assert "it helps where the board calls the row with it better" in words


def test_a_page_without_comparisons_has_no_heat_map():
    text = render_page(build([make_record(make_spec(seed=k)) for k in range(2)]))
    assert "heatmap" not in text.split("</style>")[1]
    assert "Which trick helps which cell" not in text


def test_shades_are_scaled_by_what_is_clear_and_not_by_what_is_far_off():
    (attribution,) = (attribute(b) for b in ablation())
    heat = figures.heat(attribution)
    assert heat.step * figures.HEAT_STEPS == pytest.approx(0.3, rel=0.01)
    faint = Effect("lstm", "open", difference=Estimate(99.0, 3, 9.0, -1.0, 199.0))
    assert heat.shade(faint) == "plus-0"
    assert heat.shade(Effect("lstm", "hurts", difference=Estimate(-99.0, 3))) == "minus-4"
    assert heat.shade(Effect("lstm", "open", difference=Estimate(0.0, 3))) == "none"
