"""Weights & Biases never harms a run, and no secret reaches the disk."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from support import TESTS
from support.small_runs import CPU, small

from rnnbench.cli.actions.run import run_once
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.training import wandb_run
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve_with_plugins
from rnnbench.training.run import Training

WANDB = dataclasses.replace(CPU, logger="wandb")
KEY = "0123456789abcdef0123456789abcdefcanary99"


@pytest.fixture(autouse=True)
def without_wandb_of_other_tests():
    """wandb keeps its first settings and its service for the rest of a process."""
    import wandb

    wandb.teardown()
    yield
    wandb.teardown()


def run_in(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of wandb's own dependencies
        return execute(small(), store=Store(folder), trainer=WANDB, **options)


def services():
    """Numbers of wandb's own processes below this one."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wandb-core" in path.read_bytes():
                pids.append(int(path.parent.name))
        except OSError:
            continue
    return pids


def test_a_server_that_cannot_be_reached_costs_a_bounded_time_and_no_run(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # the port of discard
    monkeypatch.setattr(wandb_run, "INIT_SECONDS", 3.0)
    began = time.monotonic()
    record = run_in(tmp_path)
    assert time.monotonic() - began < 60
    assert record.status == Status.DONE
    assert record.provenance["telemetry"][0].startswith("wandb: ")
    assert KEY not in str(record.as_dict())


def run_without_service(folder):
    """A run whose service is killed, then another one in the same process."""
    plain, killed = Training._one_step, []

    def one_step(self, batch, fresh, after):
        if after.step == 30 and not killed:
            killed.extend(services())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        return plain(self, batch, fresh, after)

    Training._one_step = one_step
    records = [run_in(folder / name) for name in ("first", "second")]
    assert killed
    assert [r.status for r in records] == [Status.DONE] * 2
    assert [len(r.provenance["telemetry"]) for r in records] == [1, 0]


def test_a_service_that_is_killed_harms_no_run_and_the_next_one_gets_another(tmp_path):
    code = (
        "import sys; from pathlib import Path; from training.test_telemetry import *\n"
        "run_without_service(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=TESTS,
        env={**os.environ, "WANDB_MODE": "offline"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("second/runs/*/wandb/offline-run-*/*.wandb"))) == 1


def test_no_secret_of_the_surroundings_reaches_the_disk(tmp_path, monkeypatch):
    secrets = {
        "WANDB_API_KEY": KEY,
        "GITHUB_TOKEN": "ghp_canary0canary0canary0canary0",
        "DATABASE_URL": "postgresql://me:canary55pass@db/results",
        "AWS_SECRET_ACCESS_KEY": "canary66+secret/access",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_MODE", "offline")
    command = ["rnnbench", "--url", secrets["DATABASE_URL"], "--token=canary77"]
    monkeypatch.setattr("sys.argv", command)
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        if after.step == 30:
            raise RuntimeError(f"cannot reach {secrets['DATABASE_URL']}, api_key={KEY}")
        return plain(self, batch, fresh, after)

    assert run_in(tmp_path / "done", sweep="mysweep").status == Status.DONE
    monkeypatch.setattr(Training, "_one_step", one_step)
    assert run_in(tmp_path / "crashed").status == Status.CRASHED
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.suffix == ".wandb" for p in files)
    assert any(p.name == "error.txt" for p in files)
    for path in files:
        content = path.read_bytes()
        for secret in (*secrets.values(), "canary55pass", "canary77"):
            assert secret.encode() not in content, path


def test_wandb_tells_search_from_final_names_splits_and_does_not_name_the_machine(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    canary = "host-canary-4711"
    monkeypatch.setattr(socket, "gethostname", lambda: canary)
    run_in(tmp_path, sweep="mysweep")
    (file,) = tmp_path.rglob("*.wandb")
    content = file.read_bytes()
    assert canary.encode() not in content
    for text in ("search", "mysweep", "char-lm", "lstm", "valid/bits_per_char"):
        assert text.encode() in content, text
    assert b"valid_bits_per_char" not in content


def tensorboard_of(root):
    """The events of the only run below a folder, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = root.glob("runs/*/tensorboard")
    return EventAccumulator(str(folder)).Reload()


def hparams_of(events, tag):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return HParamsPluginData.FromString(content)


def run_at_tensorboard(folder, *, test=False, **options):
    trainer = dataclasses.replace(CPU, logger="tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own dependencies
        return execute(small(test=test), store=Store(folder), trainer=trainer, **options)


def test_tensorboard_has_settings_history_and_final_figures_under_the_names_of_wandb(tmp_path):
    record = run_at_tensorboard(tmp_path, test=True, sweep="mysweep")
    assert record.provenance["telemetry"] == []
    events = tensorboard_of(tmp_path)
    history = {e.step: e.value for e in events.Scalars("valid/bits_per_char")}
    assert history == pytest.approx({step: m["bits_per_char"] for step, _, m in record.curve})
    final = {
        name: events.Scalars(name)[-1].value
        for name in ("best/valid/bits_per_char", "test/bits_per_char", "test/loss")
    }
    assert final == pytest.approx(
        {
            "best/valid/bits_per_char": record.metrics["valid"]["bits_per_char"],
            "test/bits_per_char": record.metrics["test"]["bits_per_char"],
            "test/loss": record.metrics["test"]["loss"],
        }
    )
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "lr"} <= tags
    assert not [t for t in tags if "_" in t.partition("/")[0]]
    settings = hparams_of(events, "session_start_info").session_start_info.hparams
    assert settings["architecture"].string_value == "lstm"
    assert settings["architecture.hidden"].number_value == 12
    assert settings["kind"].string_value == "final"
    assert settings["sweep"].string_value == "mysweep"


@pytest.mark.parametrize(("fails", "status"), [(False, 1), (True, 2)])
def test_tensorboard_is_told_whether_a_run_succeeded(tmp_path, monkeypatch, fails, status):
    if fails:
        monkeypatch.setattr(Training, "_one_step", lambda *_: 1 / 0)
    run_at_tensorboard(tmp_path)
    ended = hparams_of(tensorboard_of(tmp_path), "session_end_info").session_end_info
    assert ended.status == status  # of the enumeration: 1 success, 2 failure


def test_tensorboard_shows_each_step_once_of_a_run_that_went_on(tmp_path, monkeypatch):
    plain = Training._one_step

    def one_step(self, batch, fresh, after):
        if after.step == 50:
            raise RuntimeError("a fault")
        return plain(self, batch, fresh, after)

    monkeypatch.setattr(Training, "_one_step", one_step)
    run_at_tensorboard(tmp_path)
    monkeypatch.setattr(Training, "_one_step", plain)
    record = run_at_tensorboard(tmp_path, attempt=2)
    assert record.status == Status.DONE
    events = tensorboard_of(tmp_path)
    assert [e.step for e in events.Scalars("valid/loss")] == [20, 40, 60]


@pytest.mark.parametrize("status", ["crashed", "nan"])
def test_a_run_that_fails_has_an_exit_code_and_a_last_line_that_say_so(
    tmp_path, monkeypatch, capsys, status
):
    def fails(self, *_):
        if status == "crashed":
            raise RuntimeError("a fault")
        return float("nan") * next(self.model.parameters()).sum().detach()

    monkeypatch.setattr(Training, "_one_step", fails)
    assert run_once(resolve_with_plugins(small()), CPU, tmp_path, quiet=True) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{status}: ")
