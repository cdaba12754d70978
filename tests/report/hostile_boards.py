"""Boards of plugins that mean harm, and of an ablation."""

import dataclasses
from datetime import UTC, datetime

from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.results.record import Status

WHEN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOSTILE = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>"


def hostile_boards():
    """Boards of a plugin whose author means harm."""
    spec = make_spec("char-lm", HOSTILE, (HOSTILE, "\x1b[31m\u202eevil"))
    done = [
        make_record(
            dataclasses.replace(spec, seed=seed),
            1.5 + seed / 10,
            baselines={HOSTILE: {"bits_per_char": 3.0}},
            examples=[{HOSTILE: HOSTILE}],
        )
        for seed in range(2)
    ]
    done += [dataclasses.replace(r, spec=dataclasses.replace(r.spec, tricks=())) for r in done]
    failed = make_record(dataclasses.replace(spec, seed=9), status=Status.OOM, reason=HOSTILE)
    alone = dataclasses.replace(failed, spec=dataclasses.replace(spec, tricks=spec.tricks[:1]))
    return build([*done, failed, alone])


def ablation():
    """A board of two cells and five tricks: clear, unclear, failed, refused and missing effects."""
    gains = {(): 0.0, ("chrono-init",): 0.3, ("zoneout",): 0.1, ("weight-drop",): -0.2}
    gains |= {("clip",): 0.001, ("layer-norm",): 0.0}
    wobble = (0.0, 0.004, -0.003, 0.001, -0.002)
    records = []
    for architecture, base in (("lstm", 1.8), ("elman", 2.3)):
        for place, (tricks, gain) in enumerate(gains.items()):
            if architecture == "elman" and tricks in (("chrono-init",), ("zoneout",)):
                continue  # refused, and not run
            for seed in range(5):
                spec = make_spec("char-lm", architecture, tricks, seed=seed)
                value = base + seed / 100 - gain + wobble[(seed + place) % 5] * bool(tricks)
                broken = tricks == ("layer-norm",) and (architecture == "elman" or seed == 4)
                records.append(make_record(spec, value, Status.NAN if broken else Status.DONE))
    return build(records)


NO_GATE = {
    "task": "char-lm",
    "architecture": "elman",
    "tricks": ["chrono-init"],
    "reason": "chrono-init acts on a forget gate; elman has none",
}
