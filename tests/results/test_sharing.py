"""Runs that travel: export, import, verify, and bundles of people who mean harm."""

import hashlib
import json
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support.command_line import call

from rnnbench.results.record import Status
from rnnbench.results.sharing.bundle import BundleError, chosen_runs, write_bundle
from rnnbench.results.sharing.origin import state_of
from rnnbench.results.sharing.unpack import import_bundle
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec
from rnnbench.trained.verify import VerificationError, verify

RUN = ["adding", "gru", "task.length=12", "architecture.hidden=6", "budget.steps=4", "-q"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A store with one run, and its bundle."""
    root = tmp_path_factory.mktemp("origin")
    call("run", *RUN, "--out", root)
    call("export", "adding", "--to", root / "bundle.zip", "--out", root)
    return root


@pytest.fixture
def bundle(origin):
    return origin / "bundle.zip"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "here")


def only(store):
    (record,) = store.records()
    return record


def contents(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def repacked(bundle, to, change, *, consistent=True):
    """A bundle whose files went through `change`; the manifest follows where `consistent`."""
    files = contents(bundle)
    manifest = json.loads(files.pop("bundle.json"))
    change(files)
    if consistent:
        manifest["files"] = {
            name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
            for name, text in files.items()
        }
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", json.dumps(manifest))
        for name, text in files.items():
            archive.writestr(name, text)
    return to


def path_of(files, name):
    return next(f for f in files if f.endswith(name))


# -------------------------------------------------------------------------------- the honest way


def test_a_run_arrives_with_its_files_and_is_marked_unverified(origin, bundle, tmp_path):
    here = tmp_path / "here"
    said = call("import", bundle, "--out", here)
    assert "1 run added, marked unverified" in said
    there, record = only(Store(origin)), only(Store(here))
    assert (record.spec, record.metrics, record.curve) == (there.spec, there.metrics, there.curve)
    assert state_of(record) == "unverified"
    for name in ("weights.safetensors", "metrics.csv"):
        copied = Store(here).run_dir(record.run_id) / name
        assert copied.read_bytes() == (origin / "runs" / record.run_id / name).read_bytes()
    assert "gru: 1 of 1 seeds imported and not verified." in call("leaderboard", "--out", here)


def test_what_is_here_stays_as_it_was_when_a_bundle_has_it_too(origin, bundle):
    before = only(Store(origin)).as_json()
    said = call("import", bundle, "--out", origin)
    assert "0 runs added" in said
    assert "were here already" in said
    assert only(Store(origin)).as_json() == before


def test_equal_runs_make_equal_bundles_beside_the_time(origin, tmp_path):
    store = Store(origin)
    for name in ("a.zip", "b.zip"):
        write_bundle(store, chosen_runs(store, ["adding"], None), tmp_path / name)
    a, b = (contents(tmp_path / n) for n in ("a.zip", "b.zip"))
    a.pop("bundle.json"), b.pop("bundle.json")
    assert a == b


def test_an_imported_run_is_run_again_until_it_was_verified(bundle, tmp_path):
    here = tmp_path / "here"
    call("import", bundle, "--out", here)
    assert "finished before" not in call("run", *RUN, "--out", here)
    assert state_of(only(Store(here))) is None  # ours took its place
    there = tmp_path / "there"
    call("import", bundle, "--out", there)
    assert "verified, evaluated again" in call("verify", "adding", "--out", there)
    assert "finished before, not run again" in call("run", *RUN, "--out", there)


@pytest.mark.parametrize("retrain", [False, True])
def test_an_honest_run_is_verified_to_the_last_digit(bundle, store, retrain):
    import_bundle(bundle, store)
    found = verify(store, only(store), retrain=retrain)
    assert found.exact
    assert {split for split, *_ in found.figures} == {"valid", "test"}
    assert state_of(only(store)) == "verified"


def boast(files):
    name = path_of(files, "record.json")
    record = json.loads(files[name])
    record["metrics"]["test"]["mse"] *= 0.5
    record["provenance"]["verified"] = {"state": "verified"}
    files[name] = json.dumps(record).encode()


@pytest.mark.parametrize("options", [[], ["--retrain"]])
def test_a_figure_that_the_weights_do_not_give_is_told_and_stamped(bundle, tmp_path, options):
    here = tmp_path / "here"
    call("import", repacked(bundle, tmp_path / "boast.zip", boast), "--out", here)
    assert state_of(only(Store(here))) == "unverified"  # whatever it says of itself
    said = call("verify", "adding", *options, "--out", here, code=1)
    assert "differs" in said
    assert "mse on test: claimed" in said
    assert state_of(only(Store(here))) == "differs"


def test_without_weights_a_run_is_checked_by_training_only(origin, tmp_path, store):
    there = Store(origin)
    bare = tmp_path / "bare.zip"
    write_bundle(there, chosen_runs(there, [], "adding"), bare, weights=False)
    assert import_bundle(bare, store).without_weights == (only(store).run_id,)
    with pytest.raises(VerificationError, match="--retrain"):
        verify(store, only(store))
    assert verify(store, only(store), retrain=True).exact


def test_weights_of_another_model_are_refused(bundle, store):
    import_bundle(bundle, store)
    path = store.run_dir(only(store).run_id) / "weights.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({**weights, name: weights[name].repeat(2, *[1] * (weights[name].dim() - 1))}, path)
    with pytest.raises(VerificationError, match="not those of its model"):
        verify(store, only(store))


def test_weights_too_few_for_the_model_are_refused_before_it_is_built(bundle, store, monkeypatch):
    import_bundle(bundle, store)
    path = store.run_dir(only(store).run_id) / "weights.safetensors"
    name, smallest = min(load_file(path).items(), key=lambda item: item[1].numel())
    save_file({name: smallest}, path)
    monkeypatch.setattr("rnnbench.training.run.Training", None)
    with pytest.raises(VerificationError, match=r"numbers, and its model has \d+"):
        verify(store, only(store))


def test_a_run_that_did_not_end_well_cannot_be_verified(origin, store):
    record = only(Store(origin))
    record.status, record.reason = Status.NAN, "loss at step 3"
    store.write(record)
    with pytest.raises(VerificationError, match="only the figures of a done run"):
        verify(store, record)


def test_other_data_are_told_before_anything_is_computed(bundle, store, monkeypatch):
    import_bundle(bundle, store)
    monkeypatch.setattr("rnnbench.trained.verify.data_version", lambda *_: "0123")
    with pytest.raises(VerificationError, match="other data than those here"):
        verify(store, only(store))


# --------------------------------------------------------------------------------- the other way


def set_in_record(where, value):
    def change(files):
        name = path_of(files, "record.json")
        record = found = json.loads(files[name])
        *path, last = where
        for key in path:
            found = found[key]
        found[last] = value
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


def test_a_log_is_exported_without_secrets(origin, tmp_path):
    store = Store(origin)
    log = store.run_dir(only(store).run_id) / "log.txt"
    log.write_text("WANDB_API_KEY=canary0123456789abcdef0123456789abcdef\n")
    write_bundle(store, chosen_runs(store, ["adding"], None), tmp_path / "log.zip")
    log.unlink()
    assert b"canary" not in contents(tmp_path / "log.zip")[f"runs/{only(store).run_id}/log.txt"]
