"""Chooses the tasks and rows of a comparison over tasks: one board a task, and no gap.

A task here is a data set: tables of one plugin that are read from different files are tasks of
their own. Rows and tasks are those of the largest rectangle without a gap (`without_gaps`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rnnbench.leaderboard.types import Board, Row

_Key = tuple[str, str]  # a task and the version of its data
SETS = 20_000  # of tasks that are tried, at most


def rows_with_result(board: Board) -> dict[str, Row]:
    """Return the rows that have a result, failure being one, by name."""
    return {r.name: r for r in board.rows if r.kind in ("ranked", "failed")}


def choose_boards(boards: Sequence[Board], notes: list[str]) -> dict[str, Board]:
    """Choose one board for each task and version of its data, by the name that it has here.

    Of several the one with the most tested rows is taken; of equals, with the most runs.
    """
    by_data: dict[tuple[str, str], list[Board]] = defaultdict(list)
    for board in boards:
        by_data[board.task, board.data].append(board)
    best = {key: max(candidates, key=_fullness) for key, candidates in by_data.items()}
    names = {key: board.data_set or board.task for key, board in best.items()}
    for same in _sharing_a_name(names):
        names |= {key: best[key].title for key in same}
    for same in _sharing_a_name(names):
        told = tell_apart([best[key] for key in same])
        for key, words in zip(same, told, strict=True):
            board = best[key]
            within = f"{board.task}, {words}" if board.data_set else words
            names[key] = f"{board.data_set or board.task} ({within})"
    chosen = {}
    for key, name in sorted(names.items(), key=lambda item: item[1]):
        board = best[key]
        if len(board.ranked) < 2:
            notes.append(f"{name} has fewer than two rows with test results, so it is left out.")
            continue
        if len(by_data[key]) > 1:
            budget = dict(board.protocol).get("Budget", "")
            notes.append(
                f"{name} has {len(by_data[key])} boards, which are not ranked together; the one "
                f"with the most rows counts ({budget})."
            )
        chosen[name] = board
    return chosen


def _sharing_a_name(names: Mapping[_Key, str]) -> list[list[_Key]]:
    """Return the keys that have a name in common with others, name by name."""
    by_name: dict[str, list[_Key]] = defaultdict(list)
    for key, name in names.items():
        by_name[name].append(key)
    return [keys for keys in by_name.values() if len(keys) > 1]


def _fullness(board: Board) -> tuple[int, int, str]:
    return len(board.ranked), sum(r.runs for r in board.rows), board.protocol_id


def tell_apart(boards: Sequence[Board]) -> list[str]:
    """Return words for each of several boards of one task with different data.

    One setting that differs between all of them is enough, such as the file that is read; else all
    that differ are told, and the version of the data where they do not do.
    """
    names = sorted({name for board in boards for name in board.task_settings})
    values = {name: [b.task_settings.get(name) for b in boards] for name in names}
    differing = [name for name in names if len(set(map(repr, values[name]))) > 1]
    unlike = [name for name in differing if len(set(map(repr, values[name]))) == len(boards)]
    if unlike:
        files = [name for name in unlike if all(map(_is_file_name, values[name]))]
        name = (files or unlike)[0]
        return [f"{name}={value}" for value in _shorten(values[name])]
    told = [
        ", ".join(f"{name}={values[name][i]}" for name in differing) for i in range(len(boards))
    ]
    if len(set(told)) == len(boards):
        return told
    versions = [f"data {board.data or 'made by the task'}" for board in boards]
    return [", ".join(filter(None, pair)) for pair in zip(told, versions, strict=True)]


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and bool(PurePath(value).suffix)


def _shorten(values: Sequence[Any]) -> list[str]:
    """Return file names without their folders, where they differ without these."""
    short = [PurePath(v).name if _is_file_name(v) else str(v) for v in values]
    return short if len(set(short)) == len(values) else [str(v) for v in values]


def without_gaps(
    rows: Mapping[str, Iterable[str]], notes: list[str]
) -> tuple[list[str], list[str]]:
    """Return rows and tasks such that each row has a result on each task, losing the least.

    They are the ones with the most results in all, of those with two rows and two tasks or more
    where there are such; of equals those with the most tasks, then the first by name.

    Args:
        rows: the names of the rows that have a result on each task.
        notes: gets what was left out.
    """
    present = {task: set(names) for task, names in rows.items()}
    tasks = sorted(present)
    names = sorted(set().union(*present.values()))
    bits = {name: sum(1 << i for i, t in enumerate(tasks) if name in present[t]) for name in names}
    patterns = Counter(bits.values())
    sets, all_tried = _common_sets(patterns, len(tasks))
    best: tuple[tuple[Any, ...], int] | None = None
    for of_set in sorted(sets):
        count = _count_rows(patterns, of_set)
        width = of_set.bit_count()
        first = tuple(-1 - i for i in range(len(tasks)) if of_set >> i & 1)
        order = (count > 1 and width > 1, count * width, width, first)
        if best is None or order > best[0]:
            best = order, of_set
    if best is None:
        return [], []
    kept_tasks = [task for i, task in enumerate(tasks) if best[1] >> i & 1]
    kept_names = [name for name, own in bits.items() if own & best[1] == best[1]]
    without_names = [name for name in names if name not in kept_names]
    without_tasks = [task for task in tasks if task not in kept_tasks]
    if without_names:
        notes.append(f"Not run on every task, so left out: {', '.join(without_names)}.")
    if without_tasks:
        notes.append(f"Tasks that lack some rows, left out: {', '.join(without_tasks)}.")
    if without_names or without_tasks:
        results = sum(map(len, present.values()))
        notes.append(
            f"{len(kept_names)} rows on {len(kept_tasks)} tasks are compared: "
            f"{len(kept_names) * len(kept_tasks)} of {results} results, "
            + ("the most" if all_tried else "the most found")
            + " that leave no gap."
        )
    return kept_names, kept_tasks


def _common_sets(patterns: Counter[int], width: int) -> tuple[set[int], bool]:
    """Return the sets of tasks that some rows have in common, as bits, and whether all are there.

    The best choice of tasks is one of these: all tasks that its rows have in common. Where there
    are too many to be tried, those that are met on leaving out one task after the other join them.

    Args:
        patterns: how many rows have results on just these tasks.
        width: how many tasks there are.
    """
    sets: set[int] = set()
    for pattern in sorted(patterns, key=lambda p: (-p.bit_count(), p)):
        sets |= {pattern} | {pattern & other for other in sets}
        sets.discard(0)
        if len(sets) > SETS:
            break
    else:
        return sets, True
    left = (1 << width) - 1
    while left:
        sets.add(left)
        smaller = [left & ~(1 << i) for i in range(width) if left >> i & 1]
        left = max(smaller, key=lambda s: (_count_rows(patterns, s), s))
    return sets, False


def _count_rows(patterns: Counter[int], of_set: int) -> int:
    return sum(count for own, count in patterns.items() if own & of_set == of_set)
