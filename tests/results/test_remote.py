"""Results at an address: two machines, lost ones, and storage that fails."""

import os
import signal
import warnings

import fsspec
import pytest
import torch
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from support.fake_records import make_record, make_spec
from support.small_runs import CPU, TRICKS, assert_same_run, run_in, small

from rnnbench.cli import main
from rnnbench.results import remote
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import Trainer
from rnnbench.training import checkpoint
from rnnbench.training.execute import execute
from rnnbench.training.run import Training

EVERY_STEP = Trainer(accelerator="cpu", checkpoint_seconds=0.0)


class Flaky(MemoryFileSystem):
    """An object store that fails so many times, or on some names, as asked."""

    protocol = "flaky"
    store: dict = {}
    pseudo_dirs: list = [""]
    failures = 0
    refused = ""

    def _fail(self, path):
        if Flaky.failures:
            Flaky.failures -= 1
            raise ConnectionError("the network is away")
        if Flaky.refused and Flaky.refused in path:
            raise PermissionError(f"403 Forbidden for {path}?X-Amz-Credential=AKIA0123456789ABCDEF")

    def put_file(self, lpath, rpath, *args, **kwargs):
        self._fail(rpath)
        return super().put_file(lpath, rpath, *args, **kwargs)

    def ls(self, path, detail=True, **kwargs):
        self._fail(path)
        return super().ls(path, detail=detail, **kwargs)


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    MemoryFileSystem.store.clear()
    Flaky.store.clear()
    Flaky.failures, Flaky.refused = 0, ""
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0))


@pytest.fixture(params=["memory://results", "file", "flaky://bucket/results"])
def url(request, tmp_path):
    return f"file://{tmp_path}/shared/results" if request.param == "file" else request.param


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Opens stores on machines of given names: each has a disk of its own."""
    opened = []

    def on(name, url, **options):
        monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / name))
        opened.append(Store(url, **options))
        return opened[-1]

    yield on
    for store in opened:
        store.close()


def test_what_one_machine_writes_another_reads(machine, url):
    one, two = make_record(make_spec(seed=1)), make_record(make_spec(seed=2))
    here, there = machine("a", url), machine("b", url)
    assert here.write(one)
    assert there.write(two)
    assert here.root != there.root
    assert list(here.records()) == list(there.records()) == [one, two]
    assert here.read(two.run_id) == two
    assert not there.write(make_record(make_spec(seed=1), status=Status.CRASHED, attempt=5))


def test_only_new_records_are_fetched(machine, url, monkeypatch):
    here, there = machine("a", url), machine("b", url)
    for seed in range(3):
        here.write(make_record(make_spec(seed=seed)))
    assert len(list(there.records())) == 3
    fetched, plain = [], remote.Remote._download
    monkeypatch.setattr(
        remote.Remote,
        "_download",
        lambda self, *args: fetched.append(args[1]) or plain(self, *args),
    )
    here.write(make_record(make_spec(seed=9)))
    assert len(list(there.records())) == 4
    assert len(fetched) == 1
    list(there.records())
    assert len(fetched) == 1


def test_a_record_removed_there_is_gone_here(machine, url):
    here, there = machine("a", url), machine("b", url)
    record = make_record()
    here.write(record)
    assert len(list(there.records())) == 1
    here.remote._files.rm(f"{here.remote._base}/runs/{record.run_id}", recursive=True)
    assert list(there.records()) == []
    assert list(here.records()) == []


def one_step_that(do, at):
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        loss = plain(self, batch, fresh, after)
        if after.step == at:
            do(self)
        return loss

    return one_step


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("step", [5, 47])
def test_a_run_of_a_lost_machine_goes_on_at_another_bitwise(machine, tmp_path, monkeypatch, step):
    url, spec = f"file://{tmp_path}/shared", small(tricks=TRICKS)
    whole = run_in(tmp_path / "whole", spec)
    with monkeypatch.context() as patch:
        patch.setattr(
            Training,
            "_one_step",
            one_step_that(lambda _: os.kill(os.getpid(), signal.SIGKILL), step),
        )
        lost = machine("lost", url, index=False)
        child = os.fork()
        if child == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                execute(spec, store=lost, trainer=EVERY_STEP)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    other = machine("other", url)
    torch.manual_seed(99)
    record = execute(spec, store=other, trainer=CPU, attempt=2)
    assert record.status == Status.DONE
    assert_same_run(whole, (other, record))
    third = machine("third", url)
    assert third.finished(spec.run_id) == record
    name = "weights.safetensors"
    weights = (third.fetch(spec.run_id, [name]) / name).read_bytes()
    assert weights == (other.run_dir(spec.run_id) / name).read_bytes()
    left = {p.rpartition("/")[2] for p in other.remote._files.find(f"{tmp_path}/shared/runs")}
    assert left == {"record.json", "metrics.csv", "weights.safetensors"}


def test_a_machine_with_an_old_checkpoint_takes_the_newer_one_from_there(
    machine, url, monkeypatch, tmp_path
):
    spec, taken = small(tricks=TRICKS), []
    whole = run_in(tmp_path / "whole", spec)
    for name, stop in (("a", 25), ("b", 45)):
        with monkeypatch.context() as patch:
            patch.setattr(Training, "_one_step", one_step_that(lambda r: r.ask_to_stop(15), stop))
            stopped = execute(spec, store=machine(name, url), trainer=CPU)
        assert stopped.reason == f"SIGTERM at step {stop}"
    plain = Training.restore
    monkeypatch.setattr(
        Training, "restore", lambda r, s: taken.append(s["position"][0]) or plain(r, s)
    )
    again = machine("a", url)
    assert_same_run(whole, (again, execute(spec, store=again, trainer=CPU, attempt=3)))
    assert taken[0] == 45


def test_a_broken_checkpoint_there_is_not_taken(machine, url, monkeypatch):
    spec, store = small(), machine("a", url)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", one_step_that(lambda r: r.ask_to_stop(15), 45))
        execute(spec, store=store, trainer=CPU)
    last = f"{store.remote._base}/runs/{spec.run_id}/last.pt"
    content = bytearray(store.remote._files.cat_file(last))
    content[len(content) // 2] ^= 1
    store.remote._files.pipe_file(last, bytes(content))
    folder = machine("b", url).begin(spec.run_id)
    assert checkpoint.load(folder)["position"][0] == 40


def test_an_address_that_fails_for_a_while_is_tried_again(machine):
    store = machine("a", "flaky://bucket/results")
    Flaky.failures = 2
    record = make_record()
    store.write(record)
    assert Flaky.failures == 0
    assert machine("b", "flaky://bucket/results").read(record.run_id) == record


def test_a_checkpoint_that_cannot_be_sent_is_told_once_and_harms_no_run(machine):
    store = machine("a", "flaky://bucket/results")
    Flaky.refused = ".pt"
    record = execute(small(), store=store, trainer=EVERY_STEP)
    assert record.status == Status.DONE
    (told,) = record.provenance["storage"]
    assert "on the disk of its machine only" in told
    assert "403" in told
    assert "AKIA" not in told


def test_a_record_that_cannot_be_sent_is_kept_and_sent_by_the_next_command(machine):
    store, record = machine("a", "flaky://bucket/results"), make_record()
    Flaky.refused = "record.json"
    with pytest.warns(RuntimeWarning, match=r"record is safe in .* the next command"):
        store.write(record)
    assert machine("b", "flaky://bucket/results").read(record.run_id) is None
    Flaky.refused = ""
    assert list(machine("a", "flaky://bucket/results").records()) == [record]
    assert list(machine("b", "flaky://bucket/results").records()) == [record]


def test_results_of_a_run_that_has_ended_are_sent_again_for_as_long_as_asked(machine, monkeypatch):
    monkeypatch.setattr(remote, "waits", lambda *_, **__: iter([0.0] * 3))
    said, record = [], make_record()
    store = machine("a", "flaky://bucket/results", index=False, patience=600.0)
    store.remote.say = said.append
    Flaky.failures = 3 + 3 * 3 - 1  # three tries of the record there, and nine of sending
    assert store.write(record)
    assert machine("b", "flaky://bucket/results").read(record.run_id) == record
    assert any("the results are safe in" in text for text in said)
    assert any("are sent again in 0 s" in text for text in said)


def test_what_a_worker_could_not_send_goes_with_its_next_run(machine):
    store = machine("a", "flaky://bucket/results", index=False)
    earlier, later = make_record(make_spec(seed=1)), make_spec(seed=2)
    Flaky.refused = "record.json"
    with pytest.warns(RuntimeWarning, match="record is safe"):
        store.write(earlier)
    Flaky.refused = ""
    store.begin(later.run_id)
    assert machine("b", "flaky://bucket/results").read(earlier.run_id) == earlier


def test_a_finished_result_that_was_not_sent_is_not_lost_to_a_worse_one_there(machine):
    done = make_record(attempt=1)
    here = machine("a", "flaky://bucket/results")
    Flaky.refused = "record.json"
    with pytest.warns(RuntimeWarning, match="record is safe"):
        here.write(done)
    Flaky.refused = ""
    machine("b", "flaky://bucket/results").write(make_record(status=Status.CRASHED, attempt=2))
    assert here.read(done.run_id) == done
    assert list(here.records()) == [done]
    assert machine("b", "flaky://bucket/results").read(done.run_id) == done


def test_storage_that_is_away_before_a_run_is_an_error_with_the_address(machine):
    store = machine("a", "flaky://bucket/results")
    Flaky.refused = "bucket"
    with pytest.raises(OSError, match=r"cannot list .* at flaky://bucket/results: PermissionError"):
        execute(small(), store=store, trainer=CPU)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket/results", r"pip install 'rnnbench\[s3\]'"),
        ("gs://bucket/results", r"pip install 'rnnbench\[gcs\]'"),
        ("nowhere://bucket", "Protocol not known"),
    ],
)
def test_an_address_that_cannot_be_opened_says_what_to_do(monkeypatch, tmp_path, address, said):
    monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path))
    for module in ("s3fs", "gcsfs"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ValueError, match=said):
        Store(address)


def test_a_login_in_an_address_is_written_and_shown_nowhere(machine, tmp_path):
    store = machine("a", "memory://user:canary77@host/results")
    store.write(make_record())
    assert "canary77" not in store.place(make_record().run_id)
    assert not [p for p in tmp_path.rglob("*") if "canary77" in str(p)]
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"canary77" in p.read_bytes()]


def test_the_command_line_takes_an_address(monkeypatch, tmp_path):
    monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / "scratch"))
    url = f"file://{tmp_path}/shared"
    words = ["run", "char-lm", "elman", "architecture.hidden=4", "task.length=10",
             "budget.steps=4", "trainer.accelerator=cpu", "-q", "--no-test"]  # fmt: skip
    done = CliRunner().invoke(main, [*words, "--out", url])
    assert done.exit_code == 0, done.output
    assert f"done: {url}/runs/char-lm.elman." in done.output.replace("\n", "")
    assert len(list(tmp_path.glob("shared/runs/*/record.json"))) == 1
    monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("RNNBENCH_RESULTS", url)
    again = CliRunner().invoke(main, words)
    assert "finished before, not run again" in again.output
