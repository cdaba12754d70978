"""Writes boards as JSON and CSV, for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.machine_notes import MACHINE_TIME
from rnnbench.leaderboard.types import Attribution, Board, Comparison, Effect, Row
from rnnbench.report.sentences import headline_claims
from rnnbench.results.record import COSTS

EXPORT_FORMAT = 2  # 1 had tiers of ties instead of verdicts on all pairs


def as_json(boards: Sequence[Board], sections: Mapping[str, Any] | None = None) -> str:
    """Return all that the boards hold (`leaderboard.types`) and say ("claims").

    It is {"format": 2, "boards": [...]}.

    Args:
        sections: more to tell, by name; dataclasses become objects, and what is not finite null.
    """
    content = {"format": EXPORT_FORMAT, "boards": [_board_in_full(b) for b in boards]}
    content |= {name: _plain(value) for name, value in (sections or {}).items()}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _board_in_full(board: Board) -> dict[str, Any]:
    return {**_plain(board), "claims": headline_claims(board)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(boards: Sequence[Board]) -> str:
    """Return one line for each row of a board; other test metrics follow as columns "test NAME".

    Text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    return csv_of(lines(boards))


def lines(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return one line for each row of each board, with the columns of `as_csv`."""
    return [_row_line(board, row) for board in boards for row in board.rows]


def attributions_as_json(attributions: Sequence[Attribution]) -> str:
    """Return all that attributions hold, as {"format": 2, "attributions": [...]}."""
    plain = [dataclasses.asdict(a) for a in attributions]
    content = {"format": EXPORT_FORMAT, "attributions": plain}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def attributions_as_csv(attributions: Sequence[Attribution]) -> str:
    """Return one line for each comparison of an architecture, as `as_csv` writes rows."""
    return csv_of(
        [_effect_line(a, c, e) for a in attributions for c in a.comparisons for e in c.effects]
    )


def _effect_line(
    attribution: Attribution, comparison: Comparison, effect: Effect
) -> dict[str, Any]:
    difference = effect.difference
    return {
        "task": attribution.task,
        "protocol_id": attribution.protocol_id,
        "comparison": comparison.name,
        "architecture": effect.architecture,
        "tricks": " ".join(comparison.stack),
        "without": " ".join(comparison.without),
        "metric": attribution.headline.get("name"),
        "unit": attribution.headline.get("unit"),
        "verdict": effect.verdict,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "percent": effect.percent,
        "p": effect.p,
        "seeds": len(effect.seeds),
        "mean_with": effect.with_mean,
        "mean_without": effect.without_mean,
        "reason": effect.reason,
        "marks": "; ".join(effect.marks),
    }


def csv_of(lines: Sequence[dict[str, Any]]) -> str:
    """Return lines as CSV; metrics on test come last, and no text is taken for a formula."""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    fixed = [name for name in columns if not name.startswith("test ")]
    others = sorted(name for name in columns if name.startswith("test "))
    out = io.StringIO()
    writer = csv.DictWriter(out, [*fixed, *others], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _safe_cell(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def _row_line(board: Board, row: Row) -> dict[str, Any]:
    test, valid, margin, centre = row.test, row.valid, row.margin, row.centre
    verdicts, ranked = board.verdicts, row.kind == "ranked"
    against = verdicts.leader if ranked and row.name != verdicts.leader else None
    pair = verdicts.between(row.name, against) if against else None
    return {
        "task": board.task,
        "protocol_id": board.protocol_id,
        "budget": dict(board.protocol)["Budget"],
        "kind": row.kind,
        "rank": row.rank,
        "worst_rank": row.worst_rank,
        "contender": row.contender if ranked else None,
        "name": row.name,
        "architecture": row.architecture,
        "tricks": " ".join(row.tricks),
        "metric": board.headline.get("name"),
        "unit": board.headline.get("unit"),
        "higher_is_better": board.headline.get("higher_is_better"),
        "mean": test and test.mean,
        "low": test and test.low,
        "high": test and test.high,
        "seeds": test and test.n,
        "scale": verdicts.scale if ranked else None,
        "centre": centre and centre.mean,
        "centre_low": centre and centre.low,
        "centre_high": centre and centre.high,
        "against": against,
        "relation": pair and pair.relation,
        "p": row.p,
        "more_seeds": pair and pair.more_seeds,
        "equal_within": verdicts.equal_within.size if ranked else None,
        "equal_within_relative": verdicts.equal_within.relative if ranked else None,
        "validation": valid and valid.mean,
        "baseline": margin and margin.baseline,
        "gain": margin and margin.gain,
        "gain_percent": margin and margin.percent,
        "verdict": margin and margin.verdict,
        "runs": row.runs,
        "failed": row.failed,
        "final_runs": row.final_runs,
        "final_failed": row.final_failed,
        "interrupted": row.interrupted,
        "configurations": row.configurations,
        **{name: row.costs.get(name) for name in (*COSTS, MACHINE_TIME)},
        "path": row.path,
        "machines": "; ".join(row.machines),
        "total_train_seconds": row.total_seconds,
        "config_id": row.config_id,
        "marks": "; ".join(row.marks),
        **{f"test {name}": estimate.mean for name, estimate in row.metrics.items()},
    }


def _safe_cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
