"""The laws of tricks."""

from __future__ import annotations

import dataclasses
import io
import itertools
from typing import ClassVar

import torch

from rnnbench.contract import Moment, Refusal, Trick
from rnnbench.errors import PluginError
from rnnbench.registry.registry import load
from rnnbench.testing import every_plugin as common
from rnnbench.testing.law import Broken, DoesNotApply, Laws, PluginLaws, differ, tiny
from rnnbench.testing.tricks import evaluation as trick_evaluation
from rnnbench.testing.tricks import training as trick_training
from rnnbench.testing.tricks.rehearsals import Rehearsals, refusal
from rnnbench.testing.tricks.short_runs import (
    EARLY,
    LATE,
    RehearsalPlace,
    Run,
    bare,
    copied,
    has_effect,
    raised_by_core,
    trained_late,
)
from rnnbench.testing.variants import neighbours
from rnnbench.training.determinism import random_state, set_random_state
from rnnbench.training.dry_run import check

LAWS = Laws()


def choices(trick: Trick) -> list[Trick]:
    """Return the trick with each other value of a switch or a choice."""
    versions = []
    for name, value, others in neighbours(trick):
        if isinstance(value, (bool, str)):
            versions += [dataclasses.replace(trick, **{name: v}) for v in others]  # type: ignore[type-var]
    return versions


@LAWS.law(
    "At its null settings a trick changes nothing, bit for bit: loss, gradients, parameters.",
    "Return the given value itself where the settings ask for nothing, and draw no random number.",
)
def null_changes_nothing(trick: Trick, rehearsals: Rehearsals) -> None:
    if trick.null is None:
        raise DoesNotApply("it has no null settings: it is there or it is not")
    if not trick.null:
        raise Broken("`null` names no setting; write None for a trick that has no null settings")
    unknown = set(trick.null) - {f.name for f in dataclasses.fields(trick)}  # type: ignore[arg-type]
    if unknown:
        raise Broken(f"`null` names {', '.join(sorted(unknown))}, which is no setting of it")
    for version in (trick, *choices(trick)):
        nulled = dataclasses.replace(version, **trick.null)  # type: ignore[type-var]
        chosen = rehearsals.places if version is trick else rehearsals.some(trick, 1)
        for place in chosen:
            try:
                run = Run(place, (nulled,)).steps(EARLY)
            except Refusal as why:
                if refusal(trick, place) is None:
                    raise Broken(f"{place.words}: accepted, but refused at null: {why}") from why
                continue
            without = bare(place, EARLY)
            for what, a, b in zip(("the losses", "the gradients", "the parameters"),
                                  run.outcome(), without, strict=True):  # fmt: skip
                gap = differ(a, b)
                if gap:
                    raise Broken(f"{place.words}, {nulled}: {what} differ, {gap}")


@LAWS.law(
    "Where a trick is accepted it has an effect: nothing is silently ignored.",
    "Raise Refusal in `cell` or `model` where there is nothing to act on.",
)
def effect(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.accepted(trick):
        if not has_effect(place, (trick,)):
            steps = ", ".join(f"{p:.0%}" for _, p in LATE)
            raise Broken(
                f"{place.words}: {trick} is accepted, and steps at {steps} of the budget are what "
                "they are without it"
            )


@LAWS.law(
    "Every combination trains a real step or is refused with the reason and what to do instead.",
    "A Refusal's first line names the trick and the reason, its last line the remedy.",
)
def refused_or_trained(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.places:
        why = refusal(trick, place)
        if why is None:
            continue
        lines = [line for line in str(why).splitlines() if line.strip()]
        if "fails its dry run" in str(why):
            raise Broken(f"{place.words}: {why}")
        if len(lines) < 2 or len(lines[-1].split()) < 2:
            raise Broken(f"{place.words}: the refusal names no remedy on a second line: {why}")
        if trick.name not in str(why) and not raised_by_core(why):
            raise Broken(f"{place.words}: the refusal does not name {trick.name}: {why}")
    for place in rehearsals.some(trick, 1):
        try:
            check(place.architecture, place.toy, [common.fresh(trick)], batch=place.toy.example())
        except Refusal as why:
            raise Broken(
                f"{place.words}: a step that is made passes, and without memory: {why}"
            ) from why
    for place in rehearsals.accepted(trick):
        try:
            run = Run(place, (trick,)).steps(EARLY)
            run.evaluated()
        except Exception as error:
            raise Broken(
                f"{place.words}: check passed, then {type(error).__name__}: {error}"
            ) from error
        if not all(bool(loss.isfinite()) for loss in run.losses):
            raise Broken(f"{place.words}: the losses are {[float(v) for v in run.losses]}")
        if not isinstance(run.optimizer, torch.optim.Optimizer):
            raise Broken(f"{place.words}: optimizer gave a {type(run.optimizer).__name__}")
        for name, p in run.model.named_parameters():
            if p.requires_grad and p.grad is None:
                raise Broken(f"{place.words}: {name} gets no gradient any more")


@LAWS.law(
    "The data are left alone: a step changes nothing in the batch that it was given.",
    "Write into a copy: batch._replace(x=...), gold.clone().",
)
def batch_is_left_alone(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        run = Run(place, (trick,))
        batch = run.batch(0)
        kept = copied(batch)
        run.batch = lambda _, _batch=batch: _batch  # type: ignore[method-assign, misc]
        run.step(0, Moment(*LATE[0]))
        run.step(1, Moment(*LATE[1]))
        for name, a, b in zip(kept._fields, kept, batch, strict=True):
            if differ(a, b):
                raise Broken(f"{place.words}: two steps changed batch.{name} in place")


@LAWS.law(
    "The same seed gives the same training.",
    "Draw noise with torch's global generator; keep nothing from one run to the next.",
)
def same_seed_same_training(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        _, first = trained_late(place, trick)
        second = Run(place, (trick,)).steps(LATE).outcome()
        gap = differ(first, second)
        if gap:
            raise Broken(f"{place.words}: two runs with one seed differ, {gap}")


@LAWS.law(
    "Random numbers of training go on: two seeds leave two states of every generator.",
    "Never set a seed: the run has set it; draw from a generator of your own where you must.",
)
def seeds_are_left_alone(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick, 1):
        states = []
        for seed in (0, 1):
            Run(place, (trick,), seed=seed).steps(EARLY)
            states.append(random_state())
        for generator in ("torch", "numpy", "python"):
            if not differ(*(state[generator] for state in states)):
                raise Broken(f"{place.words}: it sets the seed of {generator}'s random numbers")


@LAWS.law(
    "State survives: a run that is saved and resumed ends bitwise like one that was not.",
    "Keep counters and averages in buffers or in the optimiser's state_dict, not on the trick.",
)
def resumes_bitwise(trick: Trick, rehearsals: Rehearsals) -> None:
    before, after = EARLY, ((3, 0.7), (4, 0.8), (5, 0.9))
    for place in rehearsals.some(trick):
        whole = Run(place, (trick,)).steps(before)
        saved = io.BytesIO()
        content = {
            "model": whole.model.state_dict(),
            "optimizer": whole.optimizer.state_dict(),
            "random": random_state(),
            "carried": whole.state,
            "memory": whole.memory,
        }
        torch.save(content, saved)
        for i, at in enumerate(after):
            whole.step(3 + i, Moment(*at))
        resumed = Run(place, (trick,), seed=9)
        saved.seek(0)
        kept = torch.load(saved, weights_only=True)
        resumed.model.load_state_dict(kept["model"])
        resumed.optimizer.load_state_dict(kept["optimizer"])
        resumed.state, resumed.memory = kept["carried"], kept["memory"]
        set_random_state(kept["random"])
        for i, at in enumerate(after):
            resumed.step(3 + i, Moment(*at))
        gap = differ(resumed.outcome(), (whole.losses[3:], *whole.outcome()[1:]))
        if gap:
            raise Broken(f"{place.words}: steps 4 to 6 after a resume differ, {gap}")


@LAWS.law(
    "It composes with every other installed trick, in both orders, or is refused with a reason.",
    "A wrapper must pass on what it does not change; look attributes up where others leave them.",
)
def composes(trick: Trick, rehearsals: Rehearsals) -> None:
    others = []
    for name in rehearsals.companions:
        try:
            cls = load("tricks", name)
            others += [tiny(cls)] if not isinstance(trick, cls) else []
        except (PluginError, ValueError, TypeError):
            continue  # broken by itself: `rnnbench list` and its own laws say so
    if not others:
        raise DoesNotApply("no other trick is installed")
    accepted = list(rehearsals.some(trick))
    for other in others:
        shared = (p for p in accepted if refusal(other, p) is None)
        for place in itertools.islice(shared, 2):
            for order in ((trick, other), (other, trick)):
                _compose(place, order, trick, other)


def _compose(place: RehearsalPlace, order: tuple[Trick, ...], trick: Trick, other: Trick) -> None:
    names = " then ".join(t.name for t in order)
    try:
        check(
            place.architecture, place.toy, list(map(common.fresh, order)),
            batch=place.toy.example(), device="cpu",
        )  # fmt: skip
    except Refusal as why:
        lines = [line for line in str(why).splitlines() if line.strip()]
        if "fails its dry run" in str(why) or len(lines) < 2:
            raise Broken(f"{place.words}, {names}: {why}") from why
        return
    try:
        run = Run(place, order).steps(EARLY)
        first, second = run.evaluated(), run.evaluated()
        lost = [t.name for t, without in ((trick, other), (other, trick))
                if not has_effect(place, order, (without,))]  # fmt: skip
    except Exception as error:
        raise Broken(
            f"{place.words}, {names}: check passed, then {type(error).__name__}: {error}"
        ) from error
    if differ(first, second):
        raise Broken(f"{place.words}, {names}: two evaluations of one batch differ")
    if lost:
        raise Broken(f"{place.words}, {names}: {lost[0]} has no effect beside the other")


def laws_at(rehearsals: Rehearsals) -> Laws:
    """Return the laws of tricks, held at these places and beside these tricks."""
    parts = LAWS, trick_training.LAWS, trick_evaluation.LAWS
    return Laws(*(laws.bound(rehearsals) for laws in parts), common.LAWS)


class TrickLaws(PluginLaws):
    """Give `tiny`, an instance with an effect, and every law is a test.

    class TestZoneout(TrickLaws):
        tiny = Zoneout(rate=0.3)
    """

    laws: ClassVar[Laws] = laws_at(Rehearsals())
