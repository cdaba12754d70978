"""The laws of tasks that need no other process, for instances beside the tiny one."""

from rnnbench.testing import TaskLaws, verdict

ELSEWHERE = {"same_seed_same_batches", "loads_offline", "damaged_data_are_refused"}


def broken_laws(task):
    """The laws that a task breaks, with their examples."""
    laws = [law for law in TaskLaws.laws.all if law.name not in ELSEWHERE]
    found = {law.name: verdict(law, task) for law in laws}
    return {name: v.example for name, v in found.items() if v.outcome == "broken"}


def whole(task, split):
    """Return all items of a held-out split as one batch."""
    data = task.data(split, 0)
    (key,) = data.order(len(data), None)
    return data.batch(key, None)
