"""Specs: layers of settings, typed values, errors with their place, a stable identity."""

import dataclasses

import pytest

from rnnbench.errors import PluginError, SpecError
from rnnbench.spec.compose import compose
from rnnbench.spec.instantiate import create
from rnnbench.spec.plugin_text import read_assignment, read_plugin, read_value
from rnnbench.spec.run_spec import Budget, PluginSpec, RunSpec


def test_later_layers_win_over_what_the_task_recommends():
    recommended = compose("char-lm", "lstm")
    assert recommended.optimizer.lr == 3e-3
    assert recommended.budget.steps == 2000
    chosen = compose("char-lm", "lstm", settings={"optimizer.lr": 0.5})
    assert chosen.optimizer.lr == 0.5
    assert chosen.optimizer.batch == recommended.optimizer.batch


def test_a_budget_in_another_unit_replaces_the_recommended_one():
    budget = compose("char-lm", "lstm", settings={"budget.tokens": 1000}).budget
    assert (budget.steps, budget.tokens) == (None, 1000)


def test_two_budgets_are_refused():
    with pytest.raises(SpecError, match=r"budget.steps=5 and budget.tokens=9|one budget"):
        compose("char-lm", "lstm", settings={"budget.steps": 5, "budget.tokens": 9})


def test_every_setting_of_every_plugin_is_in_the_spec():
    spec = compose("char-lm", "lstm", ["zoneout:rate=0.3"])
    assert dict(spec.tricks[0].settings) == {"rate": 0.3, "cell_rate": None}
    assert dict(spec.architecture.settings)["hidden"] == 256


def test_tricks_keep_their_order():
    names = [t.name for t in compose("char-lm", "lstm", ["zoneout", "clip"]).tricks]
    assert names == ["zoneout", "clip"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("char-lmm", "lstm"), "there is no task 'char-lmm'; did you mean 'char-lm'"),
        (("lstm", "char-lm"), "'lstm' is an architecture, not a task"),
        (("char-lm", "lstm", ["zoneot"]), "there is no trick 'zoneot'; did you mean 'zoneout'?"),
        (("char-lm", "lstm", ["clip", "clip"]), "trick 'clip' is listed twice"),
        (
            ("char-lm", "lstm", [], {"architecture.hiden": 1}),
            "no field 'hiden'; did you mean 'hidden'?",
        ),
        (
            ("char-lm", "lstm", [], {"optimiser.lr": 1}),
            "no section 'optimiser'; did you mean optimizer.lr?",
        ),
        (("char-lm", "lstm", [], {"lr": 1}), "no section 'lr'"),
        (("char-lm", "lstm", [], {"optimizer.lr": "fast"}), "optimizer takes float"),
        (("char-lm", "lstm", [], {"optimizer.lr": True}), "optimizer takes float"),
        (("char-lm", "lstm", [], {"architecture.hidden": 3.5}), "takes int"),
        (("char-lm", "lstm", [], {"architecture.hidden": "64"}), "takes int"),
        (
            ("char-lm", "lstm", [], {"architecture.hidden": 0}),
            "architecture.hidden = 0 is outside 1..",
        ),
        (("char-lm", "lstm", [], {"optimizer.precision": "b16"}), "did you mean 'bf16'?"),
        (("char-lm", "lstm", [], {"tricks.zoneout.rate": 0.1}), "this run has no tricks"),
        (("char-lm", "lstm", ["clip"], {"tricks.clp.limit": 1}), "did you mean 'clip'?"),
        (("char-lm", "lstm", ["zoneout:rate=2"]), "tricks.zoneout.rate = 2.0 is outside 0.0..1.0"),
        (("char-lm", "lstm", ["zoneout:rate"]), "write name=value"),
        (("adding", "lstm", [], {"budget.steps": None}), "a run has one budget"),
    ],
)
def test_what_cannot_be_is_refused_with_the_closest_name(arguments, message):
    with pytest.raises(SpecError) as error:
        compose(*arguments)
    assert message in str(error.value)


def test_the_message_begins_with_the_place():
    with pytest.raises(SpecError, match=r"^run.yaml:7: architecture lstm has no field"):
        compose(
            "char-lm",
            "lstm",
            settings={"architecture.h": 1},
            places={"architecture.h": "run.yaml:7"},
        )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-3", 0.003),
        ("1", 1),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("adam", "adam"),
        ("1e3", 1000.0),
        ("no", "no"),
        ("1:30", "1:30"),
    ],
)
def test_values_are_read_as_yaml_1_2(text, value):
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_interpolations_are_refused():
    with pytest.raises(SpecError, match=r"\$\{"):
        read_assignment("task.name=${oc.env:HOME}")


def test_a_plugin_in_one_word():
    assert read_plugin("zoneout:rate=0.1,cell_rate=0.2") == (
        "zoneout",
        {"rate": 0.1, "cell_rate": 0.2},
    )
    assert read_plugin("x:sizes=[1, 2],y=3") == ("x", {"sizes": [1, 2], "y": 3})
    assert read_plugin({"name": "clip", "limit": 2}) == ("clip", {"limit": 2})


def test_a_spec_and_its_text_are_one_to_one():
    import json

    spec = compose("co2", "gru", ["clip:by=value", "zoneout"], {"optimizer.lr": 1e-4}, seed=3)
    again = RunSpec.from_dict(json.loads(spec.canonical()))
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.run_id == spec.run_id


def test_the_identity_ignores_the_order_of_settings_and_sees_every_value():
    a, b = (PluginSpec("x", 1, s) for s in ((("p", 1), ("q", 2)), (("q", 2), ("p", 1))))
    task = PluginSpec("t", 1)
    assert RunSpec(task, a).run_id == RunSpec(task, b).run_id
    spec = compose("char-lm", "lstm", ["clip"])
    others = [
        dataclasses.replace(spec, seed=1),
        dataclasses.replace(spec, data="other"),
        dataclasses.replace(spec, test=False),
        compose("char-lm", "lstm", ["clip:limit=2"]),
        compose("char-lm", "lstm", ["clip"], {"optimizer.batch": 1}),
    ]
    assert len({s.run_id for s in (spec, *others)}) == 6
    assert others[0].config_id == others[2].config_id == spec.config_id
    assert others[3].protocol_id == spec.protocol_id != others[1].protocol_id


def test_runs_of_different_budgets_do_not_share_a_protocol():
    specs = [compose("char-lm", "lstm", settings={"budget.steps": n}) for n in (10, 20)]
    assert specs[0].protocol_id != specs[1].protocol_id


def test_a_spec_of_a_newer_version_is_refused_clearly():
    with pytest.raises(ValueError, match="newer rnnbench"):
        RunSpec.from_dict({**compose("char-lm", "lstm").as_dict(), "format": 99})


def test_a_run_id_is_safe_as_a_file_name():
    run_id = compose("char-lm", "lstm", ["clip", "zoneout"]).run_id
    assert run_id.startswith("char-lm.lstm+clip+zoneout.")
    assert Budget(steps=1).validate_every == 100


def test_a_value_whose_results_mean_something_else_raises_the_version_of_its_runs_alone():
    point, gaussian, quantiles = (
        compose("sunspots", "gru", settings={"task.output": output}).task
        for output in ("point", "gaussian", "quantiles")
    )
    assert point.version == gaussian.version == quantiles.version - 1
    assert create("tasks", quantiles).output == "quantiles"
    with pytest.raises(PluginError, match="'sunspots' is at version 2; this run was made with"):
        create("tasks", dataclasses.replace(quantiles, version=1))
