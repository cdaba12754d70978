"""Bundles of people who mean harm: refused, and nothing is left behind."""

import hashlib
import json
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from results.bundles import contents, only, path_of, repacked

from rnnbench.results.sharing.bundle import BundleError
from rnnbench.results.sharing.unpack import import_bundle
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "here")


def set_in_record(where, value):
    def change(files):
        name = path_of(files, "record.json")
        record = inner = json.loads(files[name])
        *path, last = where
        for key in path:
            inner = inner[key]
        inner[last] = value
        files[name] = json.dumps(record).encode()

    return change


def rename(to):
    def change(files):
        files[to] = files.pop(path_of(files, "metrics.csv"))

    return change


def replace(name, text):
    def change(files):
        files[path_of(files, name)] = text

    return change


WEIGHTS = "weights.safetensors"
NOT_LISTED = "not a file that a bundle may hold"
HOSTILE = {
    "path traversal": (rename("runs/../../escaped.csv"), NOT_LISTED),
    "absolute path": (rename("/escaped.csv"), NOT_LISTED),
    "windows path": (rename("runs\\x\\metrics.csv"), NOT_LISTED),
    "hidden folder": (rename("runs/.ssh/metrics.csv"), NOT_LISTED),
    "code": (rename("runs/x/plugin.py"), NOT_LISTED),
    "pickle": (rename("runs/x/last.pt"), NOT_LISTED),
    "folder": (rename("runs/x/"), NOT_LISTED),
    "no record": (lambda files: files.pop(path_of(files, "record.json")), "has no record.json"),
    "not JSON": (replace("record.json", b"{"), "is not JSON"),
    "deep JSON": (replace("record.json", b"[" * 200_000), "is not JSON"),
    "a list": (replace("record.json", b"[1, 2]"), "states no format"),
    "a key twice": (replace("record.json", b'{"format": 1, "format": 2}'), "a key twice"),
    "newer format": (set_in_record(["format"], 99), "a newer rnnbench"),
    "another run": (set_in_record(["spec", "seed"], 77), "describes another run"),
    "unknown field": (set_in_record(["extra"], 1), "unknown fields"),
    "endless text": (set_in_record(["reason"], "x" * 200_000), "has 200,000 characters"),
    "path as a sweep": (set_in_record(["sweep"], "../../etc"), "is not allowed"),
    "weights without header": (replace(WEIGHTS, b"\x80\x04K\x01."), "weights are damaged"),
    "weights of a huge header": (replace(WEIGHTS, b"\xff" * 8 + b"{}"), "weights are damaged"),
    "weights of objects": (
        replace(WEIGHTS, (40).to_bytes(8, "little") + b'{"a": {"dtype": "O", "shape": [1]}}     '),
        "no plain tensor",
    ),
    "a bomb": (replace("metrics.csv", b"0" * 5_000_000), "a bomb"),
}
NAMES = {
    "markup": (["spec", "task", "name"], "<img src=x onerror=alert(1)>", "no name of a plugin"),
    "path": (["spec", "architecture", "name"], "../../x", "no name of a plugin"),
    "number": (["spec", "task", "name"], 7, "no name of a plugin"),
    "interpolation": (["spec", "task", "length"], "${oc.env:HOME}", "would resolve"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_could_mean_something_elsewhere_is_refused(name, bundle, tmp_path, store):
    """Even where the run is filed under the id that follows from it."""
    where, value, match = NAMES[name]

    def change(files):
        set_in_record(where, value)(files)
        record = json.loads(files[path_of(files, "record.json")])
        run_id = RunSpec.from_dict(record["spec"]).run_id
        run_id = run_id if re.fullmatch(r"[\w.+-]+", run_id) else "adding.gru.0"
        for old in list(files):
            files[f"runs/{run_id}/{old.rpartition('/')[2]}"] = files.pop(old)

    refused(repacked(bundle, tmp_path / "hostile.zip", change), store, match)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_and_leaves_nothing(name, bundle, tmp_path, store):
    change, match = HOSTILE[name]
    refused(repacked(bundle, tmp_path / "hostile.zip", change), store, match)
    assert not list(Path(tmp_path).rglob("escaped*"))


def refused(path, store, match="bundle|damaged"):
    with pytest.raises(BundleError, match=match) as caught:
        import_bundle(path, store)
    assert list(store.records()) == []
    assert list((store.root / "runs").iterdir()) == []
    return str(caught.value)


def test_content_that_differs_from_its_checksum_is_refused(bundle, tmp_path, store):
    size = len(next(text for name, text in contents(bundle).items() if name.endswith(".csv")))
    for text in (b"1", b"1" * size, b"1" * 2 * size):
        changed = replace("metrics.csv", text)
        refused(repacked(bundle, tmp_path / "c.zip", changed, consistent=False), store,
                "its size or sha256 is not|larger than")  # fmt: skip


def test_a_link_is_refused(bundle, tmp_path, store):
    def change(files):
        files.pop(path_of(files, "metrics.csv"))

    path = repacked(bundle, tmp_path / "link.zip", change)
    files = contents(path)
    manifest = json.loads(files.pop("bundle.json"))
    info = zipfile.ZipInfo(path_of(files, "record.json").replace("record.json", "log.txt"))
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    target = b"/etc/passwd"
    digest = hashlib.sha256(target).hexdigest()
    manifest["files"][info.filename] = {"bytes": len(target), "sha256": digest}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "bundle.json": json.dumps(manifest)}.items():
            archive.writestr(name, text)
        archive.writestr(info, target)
    refused(path, store, "is not a plain file")


def test_a_file_that_is_there_twice_is_refused(bundle, tmp_path, store):
    path = tmp_path / "twice.zip"
    shutil.copy(bundle, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(path_of(contents(bundle), "metrics.csv"), "1")
    refused(path, store, "twice")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_refused(content, tmp_path, store):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    refused(path, store, "is no bundle")


def test_every_prefix_and_flipped_byte_is_refused_or_changes_nothing_that_counts(
    bundle, tmp_path, store
):
    whole, path = bundle.read_bytes(), tmp_path / "broken.zip"
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        refused(path, store)
    expected = contents(bundle)
    for place in [*range(0, len(whole) - 1500, 61), *range(len(whole) - 1500, len(whole), 7)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            import_bundle(path, store)
        except BundleError:
            assert list(store.records()) == []
            continue
        assert contents(path) == expected
        shutil.rmtree(store.root / "runs" / only(store).run_id)
