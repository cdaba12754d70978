"""What is remembered of plugins' schemas is what their source says now."""

import dataclasses
import json

import pytest

from rnnbench.registry import remembered_schemas as remembered
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import Entry
from rnnbench.registry.schema_from_source import read_source

SOURCE = '''
from dataclasses import dataclass
from rnnbench.contract import Architecture, setting


@dataclass(frozen=True)
class Own(Architecture):
    """Something of my own."""

    hidden: int = setting({hidden}, "units", search=(1, 8, "log"))
'''
OWN = Entry("architectures", "own", "acme_own.cell:Own", "acme", "1")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_file", lambda: tmp_path / "cache" / "schemas.json")
    monkeypatch.setattr(remembered, "_new", {})
    monkeypatch.setattr(remembered.atexit, "register", lambda function: None)
    remembered._remembered.cache_clear()
    yield tmp_path / "cache" / "schemas.json"
    remembered._remembered.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "acme_own"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder / "cell.py"


def next_process():
    """Write, and forget what is in memory."""
    remembered._write()
    remembered._new.clear()
    remembered._remembered.cache_clear()


def test_every_plugin_is_remembered_as_it_was_read(cache, monkeypatch):
    entries = [entry for of in discover()[0].values() for entry in of.values()]
    read = [remembered.read_source(entry) for entry in entries]
    next_process()
    plain = sum(schema is not None for schema in read)
    assert len(json.loads(cache.read_text())["schemas"]) == plain > 100
    monkeypatch.setattr(remembered.reader, "read_source", lambda item, files: None)
    again = [remembered.read_source(entry) for entry in entries]
    assert again == read
    for one, other in zip(again, read, strict=True):
        if one is not None:
            assert list(one.fields) == list(other.fields)
            assert repr(one) == repr(other)


def test_a_changed_file_is_read_again(cache, package):
    package.write_text(SOURCE.format(hidden=4))
    assert remembered.read_source(OWN).fields["hidden"].default == 4
    next_process()
    assert remembered.read_source(OWN).fields["hidden"].default == 4
    package.write_text(SOURCE.format(hidden=16))
    assert remembered.read_source(OWN).fields["hidden"].default == 16
    next_process()
    assert remembered.read_source(OWN) == read_source(OWN)


def test_a_file_that_is_gone_is_forgotten(cache, package):
    package.write_text(SOURCE.format(hidden=4))
    remembered.read_source(OWN)
    next_process()
    package.unlink()
    assert remembered.read_source(OWN) is None
    next_process()
    assert json.loads(cache.read_text())["schemas"] == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"reader": [], "schemas": {"x": 1}}', "null"])
def test_a_cache_of_something_else_is_not_believed(cache, package, content):
    package.write_text(SOURCE.format(hidden=4))
    cache.parent.mkdir()
    cache.write_text(content)
    assert remembered.read_source(OWN).fields["hidden"].default == 4
    next_process()
    assert list(json.loads(cache.read_text())["schemas"]) == ["architectures own acme_own.cell:Own"]


def test_without_a_place_to_write_it_is_read_each_time(cache, package, monkeypatch):
    package.write_text(SOURCE.format(hidden=4))
    cache.parent.write_text("a file where the folder should be")
    remembered.read_source(OWN)
    next_process()
    assert remembered.read_source(OWN).fields["hidden"].default == 4


def test_a_default_that_text_does_not_hold_is_not_remembered(cache, package):
    package.write_text(SOURCE.format(hidden=4))
    schema = read_source(OWN)
    field = dataclasses.replace(schema.fields["hidden"], default=1j)
    remembered._remember("x", [], dataclasses.replace(schema, fields={"hidden": field}))
    assert remembered._new == {}
