"""`rnnbench submit` packs the working tree, and refuses secrets and unsafe servers first."""

import http.server
import json
import os
import subprocess
import threading
import zipfile

import pytest
from click.testing import CliRunner
from support import ROOT

from rnnbench.cli import main
from rnnbench.sweep.cluster import submit
from rnnbench.sweep.cluster.archive import PackageError, pack, secrets_here, tree_files
from rnnbench.sweep.cluster.job_server_safety import SubmitError, refuse_unsafe
from rnnbench.sweep.cluster.submit import prepare

SWEEP = """
name: tiny
tasks: [co2]
architectures: [elman]
final: {seeds: [1]}
"""
MIB = 2**20
EXAMPLE = ROOT / "plugins/examples/rnnbench-mgu"
CANARY = "canary-7f3c9a1e5d2b4860"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A working tree that is no repository, with results and something that is ignored."""
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "tree"
    for name, text in {
        "sweep.yaml": SWEEP,
        "code/mine.py": "x = 1\n",
        ".gitignore": "*.bin\n",
        "data.bin": "ignored",
        "rnnbench-results/runs/a.json": "{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def packed(tree, tmp_path, **more):
    to = tmp_path / f"to{len(list(tmp_path.iterdir()))}"
    to.mkdir()
    chosen = {"plugins": (), "secrets": {}, "limit": MIB, **more}
    return pack(tree, chosen["plugins"], to, chosen["secrets"], chosen["limit"])


def test_what_gitignore_names_and_results_stay_here(tree):
    assert tree_files(tree) == [".gitignore", "code/mine.py", "sweep.yaml"]


def test_a_repository_sends_new_files_and_leaves_ignored_ones(tree):
    subprocess.run(["git", "init", "-q", "."], cwd=tree, check=True)
    subprocess.run(["git", "add", "code"], cwd=tree, check=True)
    assert tree_files(tree) == [".gitignore", "code/mine.py", "sweep.yaml"]
    assert tree_files(tree / "code") == ["mine.py"]


def test_the_same_tree_gives_the_same_bytes(tree, tmp_path):
    first = packed(tree, tmp_path).path.read_bytes()
    os.utime(tree / "sweep.yaml", (1, 1))
    assert packed(tree, tmp_path).path.read_bytes() == first


def test_a_plugin_lies_importable_in_the_archive_with_its_entry_points(tree, tmp_path):
    package = packed(tree, tmp_path, plugins=[EXAMPLE])
    again = packed(tree, tmp_path, plugins=[EXAMPLE])
    assert any(name.endswith(".dist-info/entry_points.txt") for name in package.files)
    assert any(name.startswith("rnnbench_mgu") and name.endswith(".py") for name in package.files)
    assert package.path.read_bytes() == again.path.read_bytes()
    with zipfile.ZipFile(package.path) as archive:
        assert archive.testzip() is None


def test_a_plugin_that_is_not_there_is_named(tree, tmp_path):
    with pytest.raises(PackageError, match="no such folder or wheel"):
        packed(tree, tmp_path, plugins=[tmp_path / "nowhere"])


def test_a_tree_above_the_limit_is_refused_with_its_largest_files(tree, tmp_path):
    (tree / "big.npy").write_bytes(os.urandom(2 * MIB))
    with pytest.raises(PackageError, match=r"2\.0 MiB compressed(.|\n)*takes 1 MiB(.|\n)*big\.npy"):
        packed(tree, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", f"my token is {CANARY}"),
        (".env", "A=b"),
        ("key.txt", "-----BEGIN OPENSSH PRIVATE " + "KEY-----"),
        ("aws.cfg", "id = AKIA" + "A1" * 8),
    ],
)
def test_a_secret_in_the_tree_is_refused_and_not_repeated(tree, tmp_path, name, text):
    (tree / name).write_text(text)
    with pytest.raises(PackageError, match="all who use the cluster could read it") as refused:
        packed(tree, tmp_path, secrets={"WANDB_API_KEY": CANARY})
    assert str(refused.value).startswith(name)
    assert CANARY not in str(refused.value)


def test_secrets_are_those_of_the_environment_and_of_the_token_file(tmp_path, monkeypatch):
    file = tmp_path / "auth"
    file.write_text(f"{CANARY}\n")
    monkeypatch.setenv("WANDB_API_KEY", CANARY + "w")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    secrets = secrets_here(file)
    assert secrets["WANDB_API_KEY"] == CANARY + "w"
    assert secrets[str(file)] == CANARY
    assert "RAY_AUTH_TOKEN_PATH" not in secrets


def test_the_job_is_the_sweep_with_the_ray_engine(tree, tmp_path):
    submission = prepare(
        tree / "sweep.yaml",
        out="/shared/results",
        tree=tree,
        to=tmp_path,
        workers=3,
        options=("--no-html",),
    )
    assert submission.entrypoint == (
        "python -m rnnbench sweep sweep.yaml --out /shared/results --engine ray --address auto "
        "--workers 3 --no-html"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": "results"}, "deleted with the job"),
        ({"options": ("--storage", "postgresql://me:pass@db/x")}, "a password in an address"),
        ({"options": ("--x", CANARY)}, "the value of MY_TOKEN"),
    ],
)
def test_what_would_lose_results_or_show_a_secret_is_refused(
    tree, tmp_path, monkeypatch, change, said
):
    monkeypatch.setenv("MY_TOKEN", CANARY)
    chosen = {"out": "/shared/results", "tree": tree, "to": tmp_path, **change}
    with pytest.raises((SubmitError, PackageError), match=said):
        prepare(tree / "sweep.yaml", **chosen)


def test_a_sweep_file_elsewhere_or_ignored_is_refused(tree, tmp_path):
    chosen = {"out": "/shared", "to": tmp_path}
    with pytest.raises(PackageError, match="not in the working tree"):
        prepare(tree / "sweep.yaml", tree=tree / "code", **chosen)
    (tree / ".gitignore").write_text("sweep.yaml\n")
    with pytest.raises(PackageError, match="ignored by git"):
        prepare(tree / "sweep.yaml", tree=tree, **chosen)


def test_a_sweep_file_with_a_mistake_is_refused_before_any_connection(tree):
    (tree / "sweep.yaml").write_text(SWEEP + "worker: 2\n")
    arguments = ["submit", str(tree / "sweep.yaml"), "--out", "/shared",
                 "--working-dir", str(tree), "--address", "http://127.0.0.1:1"]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "sweep.yaml:" in done.output
    assert "workers" in done.output


def test_no_server_is_told_with_what_to_look_at(tree):
    arguments = ["submit", str(tree / "sweep.yaml"), "--out", "/shared",
                 "--working-dir", str(tree), "--address", "http://127.0.0.1:1"]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "no job server answers at http://127.0.0.1:1" in done.output


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://192.0.2.7:8265", "plain http to another machine(.|\n)*ssh -N -L"),
        ("http://me:pass@127.0.0.1:8265", "can be seen by all users"),
        ("ray://127.0.0.1:10001", "no address of a job server"),
        ("127.0.0.1:8265", "no address of a job server"),
    ],
)
def test_an_address_where_a_stranger_could_read_the_token_is_refused(address, said, monkeypatch):
    monkeypatch.delenv("RNNBENCH_ALLOW_OPEN_CLUSTER", raising=False)
    with pytest.raises(SubmitError, match=said):
        refuse_unsafe(address, print)


def test_a_token_that_others_can_read_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(CANARY)
    file.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(SubmitError, match="chmod 600"):
        refuse_unsafe("http://127.0.0.1:1", print)


class _BusyServer(http.server.BaseHTTPRequestHandler):
    """A job server that takes the third submission, and calls the first two too early."""

    requests_so_far = 0

    def _answer(self, code, text):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        known = {"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"}
        self._answer(200, json.dumps(known) if "version" in self.path else "{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        _BusyServer.requests_so_far += 1
        early = _BusyServer.requests_so_far < 3
        text = (
            f"{submit.NOT_YET} to submit job"
            if early
            else '{"job_id": "taken", "submission_id": "taken"}'
        )
        self._answer(500 if early else 200, text)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def busy(monkeypatch):
    _BusyServer.requests_so_far = 0
    monkeypatch.setattr(submit, "LOOK_SECONDS", 0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _BusyServer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def sent(tree, address, said, **more):
    return submit.submit_sweep(tree / "sweep.yaml", address, wait=False, say=said.append,
                               write=said.append, out="/shared/x", tree=tree, **more)  # fmt: skip


def test_a_cluster_that_has_just_been_started_is_asked_again_and_one_is_told(tree, busy):
    said = []
    assert sent(tree, busy, said) == 0
    assert _BusyServer.requests_so_far == 3
    assert sum("takes no jobs yet; trying for 240 s" in line for line in said) == 1


def test_a_cluster_that_never_takes_jobs_is_given_up_after_a_while(tree, busy, monkeypatch):
    monkeypatch.setattr(submit, "START_SECONDS", -1)
    with pytest.raises(SubmitError, match="No available agent"):
        sent(tree, busy, [])


def test_ctrl_c_while_sending_says_where_to_look(tree, busy, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(submit.Jobs, "_submit", interrupt)
    said = []
    assert sent(tree, busy, said) == 130
    assert f"rnnbench cluster jobs --address {busy}" in said[-1]
