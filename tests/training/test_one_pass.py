"""A run passes through the house once: plugins made once, a checkpoint read and taken up once."""

from support.small_runs import CPU, small

from rnnbench.cli.actions.run import run_once
from rnnbench.results.store import Store
from rnnbench.spec import instantiate
from rnnbench.spec.compose import compose
from rnnbench.training import checkpoint
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve_with_plugins
from rnnbench.training.run import Training


def test_the_plugins_of_a_run_are_made_once(tmp_path, monkeypatch):
    made, plain = [], instantiate.create

    def create(kind, spec):
        made.append(spec.name)
        return plain(kind, spec)

    monkeypatch.setattr(instantiate, "create", create)
    settings = {"architecture.hidden": 4, "budget.steps": 2, "optimizer.batch": 4}
    spec = compose("adding", "gru", ["clip"], settings, test=False)
    assert run_once(resolve_with_plugins(spec), CPU, tmp_path, quiet=True) == 0
    assert made == ["adding", "gru", "clip"]


def test_a_checkpoint_is_read_once_and_taken_up_once(tmp_path, monkeypatch):
    spec, calls = small(), []
    one_step, load, restore = Training._one_step, checkpoint.load, Training.restore

    def stop_at_30(self, batch, fresh, after):
        if after.step == 30:
            self.ask_to_stop(15)
        return one_step(self, batch, fresh, after)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", stop_at_30)
        execute(spec, store=Store(tmp_path), trainer=CPU)
    monkeypatch.setattr(checkpoint, "load", lambda folder: calls.append("load") or load(folder))
    monkeypatch.setattr(
        Training, "restore", lambda run, saved: calls.append("restore") or restore(run, saved)
    )
    assert execute(spec, store=Store(tmp_path), trainer=CPU, attempt=2).status == "done"
    assert calls == ["load", "restore"]
