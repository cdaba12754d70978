"""Runs that travel: export, import, verify."""

import json

import pytest
from results.bundles import RUN, contents, only, path_of, repacked
from safetensors.torch import load_file, save_file
from support.command_line import call

from rnnbench.results.record import Status
from rnnbench.results.sharing.bundle import chosen_runs, write_bundle
from rnnbench.results.sharing.origin import state_of
from rnnbench.results.sharing.unpack import import_bundle
from rnnbench.results.store import Store
from rnnbench.trained.verify import VerificationError, verify


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "here")


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
    verification = verify(store, only(store), retrain=retrain)
    assert verification.exact
    assert {split for split, *_ in verification.figures} == {"valid", "test"}
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


def test_a_log_is_exported_without_secrets(origin, tmp_path):
    store = Store(origin)
    log = store.run_dir(only(store).run_id) / "log.txt"
    log.write_text("WANDB_API_KEY=canary0123456789abcdef0123456789abcdef\n")
    write_bundle(store, chosen_runs(store, ["adding"], None), tmp_path / "log.zip")
    log.unlink()
    assert b"canary" not in contents(tmp_path / "log.zip")[f"runs/{only(store).run_id}/log.txt"]
