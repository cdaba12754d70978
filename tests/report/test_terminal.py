"""Boards and attributions in a terminal."""

import io
import re

import pytest
from report.hostile_boards import NO_GATE, ablation, hostile_boards
from rich.console import Console
from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.report.terminal.board import render
from rnnbench.report.terminal.trick_effects import print_attributions


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
    assert re.search(r"\d–\d +lstm \+ zoneout", text)
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
