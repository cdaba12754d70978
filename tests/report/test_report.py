import csv
import dataclasses
import errno
import html.parser
import io
import json
import os
import re

import pytest
from rich.console import Console
from support.fake_records import REFUSED, fake_records, make_record, make_spec
from support.hostile_boards import HOSTILE, NO_GATE, WHEN, ablation, hostile_boards

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Effect, Margin
from rnnbench.report import wording
from rnnbench.report.files.boards import as_csv, as_json
from rnnbench.report.page import figures
from rnnbench.report.page.page import render_page, write_page
from rnnbench.report.terminal.board import render
from rnnbench.report.terminal.trick_effects import print_attributions
from rnnbench.results.record import Status
from rnnbench.stats import Estimate, estimate


@pytest.fixture(scope="module")
def boards():
    return build(fake_records())


# ------------------------------------------------------------------------------------ wording


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (1.80262, 0.01834, "1.803 ± 0.018"),
        (0.97446, 0.0096, "0.9745 ± 0.0096"),
        (0.97446, 0.00096, "0.97446 ± 0.00096"),
        (123.456, 7.89, "123.5 ± 7.9"),
        (123.456, 78.9, "123 ± 79"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (1.5, 0.0, "1.500 ± 0"),
        (1.23e-7, 4.5e-9, "(1.230 ± 0.045) × 10⁻⁷"),
        (1.23e9, 4.5e7, "(1.230 ± 0.045) × 10⁹"),
    ],
)
def test_the_interval_decides_how_many_digits_are_shown(mean, half, text):
    assert wording.interval(Estimate(mean, 3, half, mean - half, mean + half)) == text


def test_a_single_seed_is_shown_without_an_interval():
    assert wording.interval(estimate([1.80262])) == "1.803"
    assert wording.interval(None) == "–"


def test_counts_sizes_and_times_are_short():
    counts = (812, 9999, 43_000, 999_999, 6_400_000)
    assert [wording.count(v) for v in counts] == ["812", "9,999", "43.0 k", "1000 k", "6.40 M"]
    assert wording.size(412_000_000) == "412 MB"
    times = (0.412, 41, 200, 7500)
    assert [wording.duration(v) for v in times] == ["0.41 s", "41 s", "3 min 20 s", "2 h 05 min"]


def test_a_margin_has_its_sign():
    worse = Margin("unigram", -0.12345, -2.0, "does not beat")
    assert wording.margin(worse) == "−0.123 (−2.0%)"
    assert wording.verdict(worse) == "does not beat unigram"


def test_a_difference_has_its_sign_and_says_why_there_is_none():
    plus, minus = Estimate(0.0412, 3, 0.01, 0.0062, 0.0762), Estimate(-0.5, 1)
    tiny = Estimate(4e-7, 3, 1e-8, 3e-7, 5e-7)
    told = [
        wording.difference(Effect("lstm", "unclear", difference=d)) for d in (plus, minus, tiny)
    ]
    assert told == ["+0.041 ± 0.035", "−0.5000", "(+4.0 ± 1.0) × 10⁻⁷"]
    assert wording.difference(Effect("lstm", "missing", "not run")) == "not run"
    assert wording.difference(Effect("lstm", "refused", "it has no gate")) == "refused"
    assert [wording.probability(p) for p in (0.0, 0.0123, 1.0, None)] == [
        "< 0.001",
        "0.012",
        "1.0",
        "–",
    ]


# ----------------------------------------------------------------------------------- terminal


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_fit_the_terminal_and_break_no_word(boards, width):
    text = render(boards, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    words = set(re.findall(r"[\w.%/=]+", text))
    names = {w for b in boards for r in b.rows for w in re.findall(r"[\w.%/=]+", r.name)}
    assert names <= words


def test_a_wider_terminal_shows_more_columns(boards):
    narrow, wide = render(boards, 80), render(boards, 160)
    assert "rank" in narrow
    assert "train time" not in narrow
    assert "train time" in wide
    assert "validation  " in wide


def test_the_terminal_tells_ties_failures_and_protocol(boards):
    text = render(boards, 100)
    assert re.search(r"1= +lstm \+ zoneout", text)
    assert "Budget: 2,000 optimiser steps" in text
    assert "2 of 3 runs failed (oom): out of memory: 2.1 GiB asked for" in text
    assert "bigram (baseline)" in text


def test_hostile_names_cannot_steer_the_terminal():
    text = render(hostile_boards(), 200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u001b[31m\\u202eevil" in text


def test_no_results_say_what_to_do():
    assert "rnnbench run" in render([], 80)


def attributed(boards, width):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, color_system=None)
    print_attributions([attribute(board, [NO_GATE]) for board in boards], console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


@pytest.mark.parametrize("width", [48, 80, 120])
def test_the_terminal_tells_which_trick_helps_which_cell(width):
    text = attributed(ablation(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert re.search(r"^chrono-init .*▲ \+0\.3000 ± 0\.00", text, re.M)
    assert re.search(r"^weight-drop .*▼ −0\.200", text, re.M)
    assert re.search(r"^clip .*○ \+0\.001", text, re.M)
    assert re.search(r"^layer-norm +failed", text, re.M)
    flat = re.sub(r"\s+", " ", text)
    assert "elman, chrono-init: refused: chrono-init acts on a forget gate" in flat
    assert "elman, layer-norm: all of 5 runs failed (5 × nan" in flat
    assert "lstm, layer-norm: 1 of 5 seeds failed with it" in flat
    assert "Over 4 to 5 seeds." in flat


def test_a_narrow_terminal_splits_the_table_by_architectures():
    narrow, wide = attributed(ablation(), 48), attributed(ablation(), 80)
    assert narrow.count("\ntrick ") == 2
    assert wide.count("\ntrick ") == 1


def test_boards_without_a_comparison_say_so():
    text = attributed(build([make_record(make_spec("char-lm", "lstm", ("clip",)))]), 200)
    assert "No two rows differ in a trick alone" in text


def test_the_leaderboard_points_to_the_attribution_where_there_is_one(boards):
    assert "rnnbench leaderboard --attribution" in render(ablation(), 120)
    assert "--attribution" not in render(build([make_record(make_spec())]), 120)


def test_hostile_names_cannot_steer_the_attribution():
    text = attributed(hostile_boards(), 200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u001b[31m\\u202eevil" in text


# ------------------------------------------------------------------------------------- export


def test_json_holds_all_that_the_boards_hold(boards):
    content = json.loads(as_json(boards))
    assert content["format"] == 1
    assert [b["task"] for b in content["boards"]] == [b.task for b in boards]
    first = content["boards"][1]["rows"][1]
    assert first["test"]["mean"] == boards[1].rows[1].test.mean
    assert first["tricks"] == ["zoneout"]


def test_csv_has_a_line_for_each_row(boards):
    lines = list(csv.DictReader(io.StringIO(as_csv(boards))))
    rows = [row for board in boards for row in board.rows]
    assert [line["name"] for line in lines] == [row.name for row in rows]
    assert [float(x["mean"]) for x in lines if x["mean"]] == [r.test.mean for r in rows if r.test]
    assert all(not line["rank"] for line in lines if line["kind"] != "ranked")


def test_csv_holds_nothing_that_a_spreadsheet_would_run():
    name = "=cmd|'/c calc'!A0"
    records = [make_record(make_spec("char-lm", name, seed=k), 1.5 + k) for k in range(2)]
    line = next(csv.DictReader(io.StringIO(as_csv(build(records)))))
    assert line["architecture"] == "'" + name
    assert line["name"] == "'" + name


# --------------------------------------------------------------------------------------- page


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


def test_the_page_tells_ties_failures_protocol_refusals_and_provenance(boards):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", render_page(boards, refused=REFUSED)))
    for told in (
        "2,000 optimiser steps; validated every 200 steps",
        "1.803 ± 0.018",
        "3 of 3 runs failed",
        "2 × oom: out of memory: 2.1 GiB asked for",
        "zoneout acts on a recurrent cell; transformer has none",
        "AMD EPYC 7B13, 2 cores",
        "torch 2.13.0",
        "does not beat mean of the targets",
        "nowledged, that a gru man",
        "lstm: hidden=128, layers=1; zoneout: rate=0.1; adam:",
    ):
        assert told in text


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
    found = {}
    for row in re.findall(r"<tr><th scope=.row.>.*?</tr>", table, re.S):
        name = re.sub(r"<[^>]*>", "", row.split("</th>")[0]).strip()
        cells = re.findall(r'<td class="number heat ([\w-]+)"[^>]*>(.*?)</td>', row, re.S)
        for place, (shade, told) in enumerate(cells):
            found[name, place] = shade, " ".join(re.sub(r"<[^>]*>", " ", told).split())
    return found


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
    assert "unclear" in cells["clip", lstm][1]
    assert cells["layer-norm", elman] == ("none", "failed")
    assert "1 of 5 seeds failed with it" in cells["layer-norm", lstm][1]
    assert cells["chrono-init", elman] == ("none", "refused")
    assert cells["zoneout", elman] == ("none", "not run")
    told = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text))
    assert "elman, chrono-init: refused: chrono-init acts on a forget gate; elman has none" in told
    assert "Holm-adjusted over all comparisons" in told


def test_a_page_without_comparisons_has_no_heat_map():
    text = render_page(build([make_record(make_spec(seed=k)) for k in range(2)]))
    assert "heatmap" not in text.split("</style>")[1]
    assert "Which trick helps which cell" not in text


def test_shades_are_scaled_by_what_is_clear_and_not_by_what_is_far_off():
    (found,) = (attribute(b) for b in ablation())
    heat = figures.heat(found)
    assert heat.step * figures.HEAT_STEPS == pytest.approx(0.3, rel=0.01)
    unclear = Effect("lstm", "unclear", difference=Estimate(99.0, 3, 9.0, -1.0, 199.0))
    assert heat.shade(unclear) == "plus-0"
    assert heat.shade(Effect("lstm", "hurts", difference=Estimate(-99.0, 3))) == "minus-4"
    assert heat.shade(Effect("lstm", "unclear", difference=Estimate(0.0, 3))) == "none"
