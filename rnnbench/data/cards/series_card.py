"""The card of one or several series: parts, columns, season, and readings that look wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.contract import DataCard, Picture
from rnnbench.data.series.series import SPLITS, Series

__all__ = ["series_card"]

POINTS = 60  # of a picture
MOST_COLUMNS = 8  # whose figures are told
MANY_GAPS = 0.2  # share of missing values that is worth a word
CLEARER = 0.2  # correlation by which another season has to be better
MOST_LAGS = 400  # steps up to which a season is looked for
BEYOND = 0.2  # share of test values outside of what training showed
FEW_WINDOWS = 10


def series_card(
    series: Series, window: tuple[int, int], facts: Mapping[str, str], *, steps: str, stride: int
) -> DataCard:
    """Return the card of series.

    Args:
        window: steps that are read, and that are forecast.
        facts: what the task knows of its columns and times, by name.
        steps: what a step is, such as "steps of 1 hour".
        stride: from a held-out window to the next.
    """
    raw_NV = _in_own_unit(series)
    names = [series.columns[v] for v in series.target]
    rows, count = len(raw_NV), len(series.names)
    sizes_P3 = np.diff(np.c_[series.begin_P, series.ends_P3], axis=1)
    counts = {split: _count_windows(series, split, window, stride) for split in SPLITS}
    splits = {}
    for k, split in enumerate(SPLITS):
        size = int(sizes_P3[:, k].sum())
        fit = counts[split]
        windows = f"{fit:,} windows" if fit else "no window fits"
        splits[split] = (
            f"{size:,} steps ({size / rows:.0%}), {windows} of {window[0]} + {window[1]}"
        )
    missing = np.isnan(raw_NV).mean(0)
    columns = {
        f"column {name}": f"{np.nanmin(raw_NV[:, v]):.4g} to {np.nanmax(raw_NV[:, v]):.4g}, "
        f"mean {np.nanmean(raw_NV[:, v]):.4g}"
        + (f", {missing[v]:.1%} missing" if missing[v] else "")
        for v, name in enumerate(names[:MOST_COLUMNS])
    }  # fmt: skip
    if len(names) > MOST_COLUMNS:
        columns["further columns"] = f"{len(names) - MOST_COLUMNS:,}"
    lengths = sizes_P3.sum(1)
    if count > 1:
        columns["lengths"] = (
            f"{lengths.min():,} to {lengths.max():,} steps, "
            f"{int(np.median(lengths)):,} in the middle"
        )
    measured = [v for v in range(len(names)) if not _counts(_changes(series, raw_NV[:, v]))]
    one = "one series" if count == 1 else f"{count:,} series"
    what = f"{len(names)} target{'s' * (len(names) > 1)}" if len(names) > 1 else names[0]
    summary = f"{rows:,} {steps} of {one}; {what} forecast {window[1]} ahead from {window[0]}"
    return DataCard(
        summary=summary,
        facts={**{name: fact for name, fact in facts.items() if fact}, **columns},
        splits=splits,
        doubts=[*_doubt_columns(series, raw_NV, names), *_doubt_season(series, measured),
                *_doubt_parts(series, counts, window, names, measured)],
        pictures=_pictures(series, raw_NV, names),
    )  # fmt: skip


def _in_own_unit(series: Series) -> np.ndarray:
    """Return the targets (N, V) as they were read."""
    of_N = np.repeat(np.arange(len(series.names)), series.ends_P3[:, 2] - series.begin_P)
    at = list(series.target)
    raw_NV = series.target_NV * series.std_PD[of_N][:, at] + series.mean_PD[of_N][:, at]
    for v, deviation in enumerate(series.std_PD[0, at]):  # what float32 added is rounded away
        raw_NV[:, v] = np.round(raw_NV[:, v], 4 - int(np.floor(np.log10(deviation))))
    return raw_NV + 0.0  # no minus zero


def _count_windows(series: Series, split: str, window: tuple[int, int], stride: int) -> int:
    context, horizon = window
    part, total = SPLITS.index(split), 0
    for first, ends in zip(series.begin_P.tolist(), series.ends_P3.tolist(), strict=True):
        begin, end = (first, *ends)[part : part + 2]
        by = 1 if split == "train" else stride
        total += len(range(max(begin, first + context), end - horizon + 1, by))
    return total


def _doubt_columns(series: Series, raw_NV: np.ndarray, names: Sequence[str]) -> list[str]:
    """Say which targets look like an index, a copy of another, or full of gaps."""
    doubts = []
    seen: dict[bytes, str] = {}
    for v, name in enumerate(names):
        value_N = raw_NV[:, v]
        apart = _changes(series, value_N)
        if len(names) > 1 and _counts(apart):
            doubts.append(
                f"the column {name!r} counts by {apart[0]:g} from row to row: is it a target? "
                f"{_without(names, name)}"
            )
            continue
        key = value_N.tobytes()
        if key in seen:
            doubts.append(
                f"the columns {seen[key]!r} and {name!r} have the same values: are both targets? "
                f"{_without(names, name)}"
            )
        seen.setdefault(key, name)
        gone = float(np.isnan(value_N).mean())
        if gone > MANY_GAPS:
            doubts.append(
                f"{gone:.0%} of {name!r} is missing, and is read as the last value before it: is "
                "the step right, and are missing values written as such?"
            )
        elif _is_rare(value_N):
            doubts.append(
                f"{name!r} has only {len(np.unique(value_N[np.isfinite(value_N)]))} different "
                "values: if they are codes of kinds, they are no target. "
                f"{_without(names, name)}"
            )
    return doubts


def _changes(series: Series, value_N: np.ndarray) -> np.ndarray:
    """Return how much values change from row to row, but not from one series to the next."""
    within_N = np.ones(len(value_N), bool)
    within_N[series.begin_P] = False
    return np.diff(value_N)[within_N[1:]]


def _counts(apart: np.ndarray) -> bool:
    """Tell whether values are equally far apart from row to row."""
    if len(apart) < 3 or not np.isfinite(apart).all():
        return False
    return float(np.ptp(apart)) <= 1e-2 * max(1e-30, float(np.abs(apart).max()))


def _is_rare(value_N: np.ndarray) -> bool:
    """Tell whether whole numbers take on very few values, as codes do, and not just 0 and 1."""
    known = value_N[np.isfinite(value_N)]
    return len(known) > 200 and 2 < len(np.unique(known)) <= 7 and bool((known % 1 == 0).all())


def _without(names: Sequence[str], name: str) -> str:
    others = [n for n in names if n != name]
    if not others:
        return ""
    more = ",..." if len(others) > 3 else ""
    return f"If not, set task.targets={','.join(others[:3])}{more}"


def _doubt_season(series: Series, measured: Sequence[int]) -> list[str]:
    """Say where values repeat clearly better after other steps than after the season's.

    Args:
        measured: the targets that do not merely count; the first of them is looked at.
    """
    if not measured:
        return []
    v = measured[0]
    first, train = int(series.begin_P[0]), int(series.ends_P3[0, 0])
    z_N = np.nan_to_num(series.target_NV[first:train, v].astype(float))
    lags = min(MOST_LAGS, len(z_N) // 3)
    if lags < 4:
        return []
    at_N = np.arange(len(z_N))
    level_N = z_N - np.polyval(np.polyfit(at_N, z_N, 1), at_N)  # without what drifts
    power = np.abs(np.fft.rfft(level_N, 2 * len(level_N))) ** 2
    whole = np.fft.irfft(power)[: lags + 1]
    if whole[0] <= 0:
        return []
    r_L = whole / whole[0]
    peak_L = np.flatnonzero((r_L[1:-1] > r_L[:-2]) & (r_L[1:-1] >= r_L[2:])) + 1
    if not len(peak_L):
        return []
    best = int(peak_L[np.argmax(r_L[peak_L])])
    here = float(r_L[series.season]) if 1 < series.season <= lags else 0.0
    valley = float(r_L[1:best].min())
    if r_L[best] < 0.3 or r_L[best] - max(here, valley) < CLEARER:
        return []
    return [
        f"{series.columns[series.target[v]]!r} repeats best after {best} steps (correlation "
        f"{r_L[best]:.2f}, after the season of {series.season} it is {here:.2f}): if that "
        f"is its season, set task.season={best}"
    ]


def _doubt_parts(
    series: Series, counts: Mapping[str, int], window: tuple[int, int], names: Sequence[str],
    measured: Sequence[int],
) -> list[str]:  # fmt: skip
    """Say where parts are small, or the test goes where training never was."""
    doubts = [
        f"{split} has {counts[split]} windows alone, so that its figures are those of chance: give "
        f"it a larger share (task.{split}), or forecast fewer steps than task.horizon={window[1]}"
        for split in SPLITS[1:]
        if 0 < counts[split] < FEW_WINDOWS
    ]
    for v in measured[:MOST_COLUMNS]:
        name = names[v]
        outside, total = 0, 0
        for begin, (train, valid, end) in zip(series.begin_P, series.ends_P3, strict=True):
            past, test = series.target_NV[begin:train, v], series.target_NV[valid:end, v]
            test = test[np.isfinite(test)]
            outside += int(((test < np.nanmin(past)) | (test > np.nanmax(past))).sum())
            total += len(test)
        if total and outside / total > BEYOND:
            doubts.append(
                f"{outside / total:.0%} of the test values of {name!r} lie outside of all that "
                "training shows: it drifts, so that task.centre=last matters, and baselines that "
                "take a mean look bad"
            )
    return doubts


def _pictures(series: Series, raw_NV: np.ndarray, names: Sequence[str]) -> list[Picture]:
    """Draw the first targets of the first series over time, and how their values are spread."""
    end = int(series.ends_P3[0, 2])
    pictures = []
    for v, name in enumerate(names[:3]):
        whole = raw_NV[:end, v]
        parts = np.array_split(whole, min(POINTS, len(whole)))
        means = tuple(
            float(np.nanmean(p)) if np.isfinite(p).any() else None for p in parts
        )  # fmt: skip
        whose = f" of {series.names[0]}" if len(series.names) > 1 else ""
        pictures.append(Picture(f"{name}{whose} over time", means, ends=("first", "last")))
    known = raw_NV[:, 0][np.isfinite(raw_NV[:, 0])]
    counts, edges = np.histogram(known, bins=30)
    pictures.append(
        Picture(
            f"values of {names[0]}", tuple(float(c) for c in counts), "bars",
            (f"{edges[0]:.4g}", f"{edges[-1]:.4g}"),
        )
    )  # fmt: skip
    return pictures
