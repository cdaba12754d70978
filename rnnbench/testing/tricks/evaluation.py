"""The laws of tricks about evaluation and about what is reported."""

from __future__ import annotations

import copy

import torch

from rnnbench.contract import Trick
from rnnbench.testing.architectures.model import broken_promise
from rnnbench.testing.law import Broken, Laws, differ
from rnnbench.testing.tricks.rehearsals import Rehearsals
from rnnbench.testing.tricks.short_runs import Run, late, trained_late

LAWS = Laws()


@LAWS.law(
    "Nothing is random at evaluation, after training either.",
    "Every random draw must depend on module.training.",
)
def evaluation_is_deterministic(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick, 3):
        run, _ = trained_late(place, trick)
        before = torch.get_rng_state()
        first, second = run.evaluated(), run.evaluated()
        if not torch.equal(before, torch.get_rng_state()):
            raise Broken(f"{place.words}: an evaluation draws random numbers")
        gap = differ(first, second)
        if gap:
            raise Broken(f"{place.words}: two evaluations of one batch differ, {gap}")


@LAWS.law(
    "Evaluation depends on the weights alone: a fresh model that loads them says the same.",
    "Register what evaluation reads as parameter or buffer; leave no mask of training behind.",
)
def evaluation_depends_on_weights_only(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        run, _ = trained_late(place, trick)
        other = Run(place, (trick,), seed=1)
        other.model.load_state_dict(run.kept())
        first = run.evaluated()
        gap = differ(other.evaluated(), first)
        if gap:
            raise Broken(f"{place.words}: a fresh model with these weights differs, {gap}")
        buffers = copy.deepcopy(list(run.model.buffers()))
        with torch.no_grad():
            run.model.train()(run.batch(3))
        gap = differ(run.evaluated(), first)
        if gap and not differ(buffers, list(run.model.buffers())):
            raise Broken(f"{place.words}: a pass in training mode changes evaluation, {gap}")


@LAWS.law(
    "What a model promises it keeps: at evaluation rows, padding, chunks and steps are as before.",
    "Keep in the state what the next step needs, per row; look at len_B where you look ahead.",
)
def models_keep_their_laws(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        fault = broken_promise(late(place, (trick,), 1.0).model.eval(), place.toy)
        if fault and not broken_promise(
            Run(place, (), dtype=torch.float64).model.eval(), place.toy
        ):
            raise Broken(f"{place.words}: {fault}")


@LAWS.law(
    "The loss that is reported stays the bare one.",
    "Change what is minimised at the `loss` site; leave model.loss and model.nll alone.",
)
def reported_loss_is_bare(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        run, plain = Run(place, (trick,)), Run(place, ())
        batch = run.batch(0)
        for training in (True, False):
            run.model.train(training)
            plain.model.train(training)
            with torch.no_grad():
                out = run.model(batch).out
                gap = differ(run.model.loss(out, batch), plain.model.loss(out, batch)) or differ(
                    run.model.nll(out, batch), plain.model.nll(out, batch)
                )
            if gap:
                raise Broken(f"{place.words}: for the same outputs the loss differs {gap}")
