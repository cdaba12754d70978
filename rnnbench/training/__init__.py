"""One run, from its spec to its record.

A run passes through these functions, each once:

1. `resolve.resolve_with_plugins` makes the plugins and completes the spec.
2. `dry_run.check_resolved` takes one step on the meta device, and refuses what makes no sense.
3. `execute.execute` begins the record, and ends it whatever happens.
4. `execute.train_and_evaluate` trains, evaluates the best weights, and fills the record in; on
   several devices `devices.supervisor` starts a process for each, which does this.
5. `lightning_module.train` goes through the budget: packs of steps, a validation after each round.
6. `run.Training` is the state of a run: `take_pack`, `close_round`, checkpoints.
7. `train_step.TrainStep.take` is one step: here tricks meet the model.

So the verbs mean: *run* is the whole command, *execute* is from spec to record, *train* is the
loop over steps and validations, *take* is one step.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
