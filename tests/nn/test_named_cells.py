"""Cells by the name of their architecture: what a setting may name, and what it means."""

import dataclasses

import pytest
import torch

from rnnbench.contract import Architecture, Refusal, setting
from rnnbench.errors import PluginError, SpecError
from rnnbench.nn import named_backbone, named_cell
from rnnbench.registry.registry import load, read_class
from rnnbench.registry.schema import FieldSchema, Schema
from rnnbench.spec.compose import compose
from rnnbench.spec.plugin_text import canonical_name, named


def test_a_name_gives_the_cell_that_the_architecture_builds():
    torch.manual_seed(0)
    cell = named_cell("gru", 3, 5, "owner")
    torch.manual_seed(0)
    (layer,) = load("architectures", "gru")(hidden=5).build(3, causal=True).layers
    assert type(cell) is type(layer)
    assert cell.width == 5
    for ours, theirs in zip(cell.parameters(), layer.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_canonical_name_holds_only_what_differs_from_the_defaults():
    assert canonical_name("architectures", "lstm") == "lstm"
    assert canonical_name("architectures", "lstm:dropout=0.0,layers=2") == "lstm:layers=2"
    text = canonical_name("architectures", "lstm: layers=2, hidden=7")
    assert text == "lstm:hidden=7,layers=2" == canonical_name("architectures", text)


def test_the_version_of_what_is_named_is_part_of_the_name(monkeypatch):
    found = read_class("architectures", "lstm", load("architectures", "lstm"))
    newer = dataclasses.replace(found, version=3)
    monkeypatch.setattr("rnnbench.spec.plugin_text.schema", lambda kind, name: newer)
    assert canonical_name("architectures", "lstm") == "lstm@3"
    assert canonical_name("architectures", "lstm@3") == "lstm@3"
    with pytest.raises(PluginError, match="written for version 2"):
        named("architectures", "lstm@2:layers=2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lstmm", "did you mean 'lstm'"),
        ("lstm:layer=2", "did you mean 'layers'"),
        ("lstm:layers=0", "outside"),
        ("clip", "is a trick"),
    ],
)
def test_a_wrong_name_is_refused_when_the_run_is_composed(text, message, monkeypatch):
    field = FieldSchema("cell", str, "lstm", plugin="architectures")
    host = Schema("architectures", "host", "", {"cell": field})
    from rnnbench.spec import compose as module

    real = module.schema
    monkeypatch.setattr(
        module, "schema", lambda kind, name: host if name == "host" else real(kind, name)
    )
    with pytest.raises(SpecError, match=f"(?s)architecture.cell.*{message}"):
        compose("adding", "host", settings={"architecture.cell": text})
    spec = compose("adding", "host", settings={"architecture.cell": "gru:dropout=0"})
    assert dict(spec.architecture.settings) == {"cell": "gru"}


def test_what_the_owner_decides_may_not_be_set():
    with pytest.raises(Refusal, match="cell=gru:layers=2 sets layers"):
        named_backbone("gru:layers=2", 3, 5, "owner")


def test_a_named_cell_must_be_a_cell():
    assert named_backbone("transformer:heads=1", 8, 8, "owner").width == 8
    with pytest.raises(Refusal, match="no recurrent cell"):
        named_cell("transformer:heads=1", 8, 8, "owner")


def test_a_schema_read_from_source_knows_that_a_setting_names_a_plugin(tmp_path, monkeypatch):
    source = (
        "from dataclasses import dataclass\n"
        "from rnnbench.contract import Architecture, setting\n\n"
        "@dataclass(frozen=True)\n"
        "class Host(Architecture):\n"
        "    cell: str = setting('lstm', 'cell', plugin='architectures')\n"
    )
    (tmp_path / "host_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    from rnnbench.registry.schema import Entry
    from rnnbench.registry.schema_from_source import read_source

    found = read_source(Entry("architectures", "host", "host_plugin:Host", "d", "1"))
    assert found is not None
    assert found.fields["cell"].plugin == "architectures"

    @dataclasses.dataclass(frozen=True)
    class Host(Architecture):
        cell: str = setting("lstm", "cell", plugin="architectures")

    imported = FieldSchema("cell", str, "lstm", "cell", plugin="architectures")
    assert read_class("architectures", "host", Host).fields["cell"].default == imported.default
