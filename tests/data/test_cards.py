"""Cards of data sets: what was read, how it is split, and what is doubted."""

import datetime
import json
import math
import random

import pytest
from plugins.tasks.csv_tables import SHOPS, made, shops
from support.command_line import call

from rnnbench.cli.actions.inspect_data import told_before
from rnnbench.contract import Picture
from rnnbench.leaderboard.data_cards import card_of
from rnnbench.report.page.data_pictures import path_of
from rnnbench.report.terminal.data_card import draw
from rnnbench.results.labels import DATA_CARD
from rnnbench_tasks.parallel_text import ParallelText
from rnnbench_tasks.text_lm import TextLM


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def table(n=300, **columns):
    """A table of days, whose columns are functions of the row."""
    rows = [",".join(["day", *columns])]
    for i in range(n):
        day = datetime.date(2024, 1, 1) + datetime.timedelta(days=i)
        rows.append(",".join([str(day), *(str(f(i)) for f in columns.values())]))
    return "\n".join(rows) + "\n"


def wave(i, period=7):
    return round(math.sin(2 * math.pi * i / period) + random.Random(i).random(), 3)


def doubts(tmp_path, **columns):
    return " | ".join(made(tmp_path, table(**columns), context=14, horizon=7).card().doubts)


def test_a_card_of_series_tells_columns_splits_and_windows(tmp_path):
    card = made(tmp_path, shops(), **SHOPS).card()
    assert card.summary == "400 steps of 1 day of 2 series; sales forecast 7 ahead from 14"
    assert card.facts["covariates"] == "visitors"
    assert card.facts["not read"] == "note"
    assert card.facts["column sales"].endswith("1.5% missing")
    assert card.splits["test"] == "80 steps (20%), 68 windows of 14 + 7"
    assert [p.form for p in card.pictures] == ["line", "bars"]


@pytest.mark.parametrize(
    ("columns", "doubt"),
    [
        ({"customer": lambda i: 100 + i, "v": wave}, "'customer' counts by 1 from row to row"),
        ({"v": wave, "again": wave}, "'v' and 'again' have the same values"),
        ({"v": wave, "code": lambda i: i * i % 5}, "'code' has only 3 different values"),
        ({"v": lambda i: wave(i) if i % 3 else ""}, "33% of 'v' is missing"),
        ({"v": lambda i: wave(i, 20)}, "set task.season=20"),
        ({"v": lambda i: wave(i) + i}, "lie outside of all that training shows"),
    ],
)
def test_doubtful_columns_are_named_with_what_to_do(tmp_path, columns, doubt):
    assert doubt in doubts(tmp_path, **columns)


def test_a_column_that_counts_is_doubted_once(tmp_path):
    found = doubts(tmp_path, customer=lambda i: 100 + i, v=wave)
    assert found.count("'customer'") == 1


def test_a_plain_table_is_not_doubted(tmp_path):
    assert doubts(tmp_path, v=wave) == ""


def test_a_card_of_a_text_tells_the_unknown_and_doubts_words_where_there_are_no_blanks(tmp_path):
    path = tmp_path / "zh.txt"
    path.write_text("床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n" * 200)
    card = TextLM(train=str(path)).card()
    assert "Chinese or Japanese" in card.doubts[0]
    assert "set task.unit=character" in card.doubts[0]
    by_character = TextLM(train=str(path), unit="character").card()
    assert by_character.doubts == []
    assert by_character.facts["vocabulary"] == "21 characters"  # line end and unknown too
    assert "of the characters unknown" in by_character.splits["test"]


def test_a_text_of_rare_words_is_doubted(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("".join(f"w{i} v{i * 7}\n" for i in range(900)))
    assert any("% of the words of" in doubt for doubt in TextLM(train=str(path)).card().doubts)


def test_a_card_of_pairs_tells_lengths_and_sources_that_are_met_again(tmp_path):
    draw_word = random.Random(0)
    words = ["".join(draw_word.choices("abcd", k=3)) for _ in range(400)]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{w}\t{w[::-1]}\n" for w in words))
    test = tmp_path / "test.tsv"
    test.write_text("".join(f"{w}\t{w[::-1]}\n" for w in words[:50]))
    card = ParallelText(
        source_file=str(path), test_source_file=str(test), tokens="characters"
    ).card()
    assert "sources 3 to 3 (3 in the middle)" in card.splits["train"]
    assert any("of the sources of test are in training too" in d for d in card.doubts)


def test_what_is_doubted_is_said_before_a_run_with_the_way_to_the_card(tmp_path):
    task = made(tmp_path, table(v=lambda i: wave(i, 20)), context=14, horizon=7)
    told = told_before(task, ["task.path=table.csv"])
    assert told[0].startswith("read from")
    assert told[1].startswith("doubt: 'v' repeats best after 20 steps")
    assert told[2] == "More of these data: rnnbench data inspect csv-forecast task.path=table.csv"


def test_the_command_shows_the_card_and_what_baselines_reach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(table(v=wave))
    said = call("data", "inspect", "csv-forecast", "task.path=t.csv", "task.label=Waves",
                "task.context=14", "task.horizon=7")  # fmt: skip
    assert "Waves (csv-forecast)" in said.splitlines()
    assert "seasonal_naive" in said
    assert "█" in said
    assert "Nothing looks doubtful." in said
    plain = json.loads(call("data", "inspect", "csv-forecast:path=t.csv", "--json"))
    assert plain["card"]["splits"].keys() == {"train", "valid", "test"}
    assert plain["baselines"]["test"]["mean"]["mse"] > 0


def test_a_task_with_data_of_its_own_has_a_card_too():
    assert "items" in call("data", "inspect", "adding", "task.length=10")


def test_pictures_are_drawn_as_blocks_and_as_a_path():
    line = Picture("v", (0.0, None, 1.0))
    assert draw(line) == "▁ █"
    assert path_of(line.__dict__).count("M") == 2
    assert draw(Picture("v", (0.0, 2.0), "bars")) == " █"


class Run:
    ended, run_id = "2026", "a"

    def __init__(self, card):
        self.provenance = {DATA_CARD: card}


GOOD = {"summary": "s", "facts": {}, "splits": {}, "doubts": [], "pictures": []}


@pytest.mark.parametrize(
    "bad",
    ["text", {}, {**GOOD, "facts": {"a": 1}}, {**GOOD, "doubts": "x"},
     {**GOOD, "pictures": [{"title": "t", "form": "pie", "values": [1], "ends": ["", ""]}]}],
)  # fmt: skip
def test_a_card_of_another_shape_is_not_shown(bad):
    assert card_of([Run(bad)]) == {}
    assert card_of([Run(bad), Run(GOOD)]) == GOOD
