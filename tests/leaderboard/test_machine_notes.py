"""On which path and machine rows ran, and what their time is worth there."""

import dataclasses

import pytest
from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.pareto import fronts
from rnnbench.report.files.boards import as_csv
from rnnbench.report.page.page import render_page
from rnnbench.report.terminal.board import render


def runs(name, values, cpu="EPYC", speed=None, tier=None, seconds=None):
    records = []
    for k, value in enumerate(values):
        spec = make_spec("char-lm", name, seed=k + 1)
        if seconds:
            spec = dataclasses.replace(spec, budget=dataclasses.replace(spec.budget, seconds=60.0))
        record = make_record(spec, value)
        told = {"machine": {"cpu": cpu, "cores": 2, "device": "cpu"}}
        told |= {"product_speed": speed} if speed else {}
        cells = [{"cell": "X", "tier": tier, "reason": ""}] if tier else []
        told |= {"scan": {"setting": "auto", "cells": cells}} if tier is not None else {}
        record.provenance = record.provenance | told
        records.append(record)
    return records


def board(*groups):
    (only,) = build([r for group in groups for r in group])
    return only


def row(the_board, name):
    return next(r for r in the_board.rows if r.name == name)


def test_a_row_tells_the_path_of_its_scan_and_time_in_products_of_its_machine():
    the_board = board(
        runs("lstm", [1.5, 1.6], speed=1e9, tier="fused"),
        runs("mgu", [1.4, 1.5], speed=2e9, tier="c"),
        runs("transformer", [1.7, 1.8], tier=""),
        runs("elman", [1.9, 2.0]),
    )
    assert row(the_board, "lstm").path == "fused"
    assert row(the_board, "transformer").path == "no scan"
    assert row(the_board, "elman").path == ""
    assert row(the_board, "lstm").costs["train_products"] == pytest.approx(41e9)
    assert row(the_board, "mgu").costs["train_products"] == pytest.approx(82e9)
    assert "train_products" not in row(the_board, "elman").costs  # an older record
    (front,) = [f for f in fronts(the_board) if f.cost == "train_products"]
    assert [(p.row, p.path) for p in front.points] == [("lstm", "fused"), ("mgu", "c")]
    assert "41.0 G" in render_page([the_board])
    assert "path" in render([the_board], 200)
    assert ",fused," in as_csv([the_board])


def test_rows_of_another_machine_are_marked():
    the_board = board(
        runs("lstm", [1.5, 1.6]), runs("gru", [1.4, 1.5]), runs("elman", [1.9, 2.0], cpu="Xeon")
    )
    assert any("ran on Xeon, 2 cores; most runs here on EPYC" in m
               for m in row(the_board, "elman").marks)  # fmt: skip
    assert not any("ran on" in m for m in row(the_board, "lstm").marks)
    assert any("their seconds do not compare" in note for note in the_board.notes)


def test_a_budget_of_time_says_on_which_paths_its_rows_ran():
    slow = runs("mgu", [1.4, 1.5], tier="eager", seconds=60)
    the_board = board(runs("lstm", [1.5, 1.6], tier="fused", seconds=60), slow)
    assert any("eager: mgu; fused: lstm" in note for note in the_board.notes)
    same = board(runs("lstm", [1.5, 1.6], tier="c", seconds=60),
                 runs("mgu", [1.4, 1.5], tier="c", seconds=60))  # fmt: skip
    assert not any("unlike paths" in note for note in same.notes)


def test_a_speed_that_was_not_measured_gives_no_products():
    odd = runs("lstm", [1.5, 1.6], speed=1e9)
    odd[0].provenance["product_speed"] = "not measured: out of memory"
    assert "train_products" not in row(board(odd), "lstm").costs
