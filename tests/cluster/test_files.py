"""The files of cluster/ against the validators of those who read them, and against our rules."""

import copy
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from support import ROOT

CLUSTER = ROOT / "cluster"
SCHEMAS = Path(__file__).parent / "schemas"
LAUNCHED = ("onprem", "aws", "gcp")
FILES = [f for f in sorted(CLUSTER.rglob("*")) if f.is_file()]
CODE = [f for f in FILES if f.suffix in (".yaml", ".sbatch") or f.name == "Dockerfile"]
PAGES = [f for f in FILES if f.suffix == ".md"]
PINS = dict(
    line.split("==") for line in (CLUSTER / "constraints.txt").read_text().splitlines()
    if re.fullmatch(r"[\w.-]+==\S+", line)
)  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
names = {"ids": lambda path: path.relative_to(CLUSTER).as_posix()}


def read(name):
    return yaml.safe_load((CLUSTER / name).read_text("utf-8"))


def tool(name):
    """A program that a test dependency brought beside this Python."""
    return Path(sys.executable).with_name(name)


@pytest.mark.parametrize("name", LAUNCHED)
def test_rays_launcher_takes_the_file(name):
    prepared = prepare_config(read(f"{name}/cluster.yaml"))
    validate_config(prepared)
    assert prepared["max_workers"] >= 2
    broken = copy.deepcopy(prepared)
    broken["worker"] = {}
    with pytest.raises(jsonschema.ValidationError, match="worker"):
        validate_config(broken)


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_the_head_is_on_demand_and_runs_no_trials_and_workers_are_spot(name):
    types = read(f"{name}/cluster.yaml")["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert "spot" not in str(types["head"]).lower()
    worker = types["gpu"]["node_config"]
    assert "spot" in str(worker.get("InstanceMarketOptions") or worker["scheduling"]).lower()
    assert types["gpu"]["min_workers"] == 0  # so that nothing idle costs


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_no_machine_of_a_cloud_has_a_public_address(name):
    config = read(f"{name}/cluster.yaml")
    assert config["provider"]["use_internal_ips"] is True
    assert config["auth"]["ssh_proxy_command"]
    for node in config["available_node_types"].values():
        assert "accessConfigs" not in str(node["node_config"])
        if name == "aws":  # otherwise Ray makes a group that lets the whole world in to ssh
            assert node["node_config"]["SecurityGroupIds"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_launched_cluster_asks_for_a_token_that_only_its_owner_reads(name):
    config = read(f"{name}/cluster.yaml")
    text = (CLUSTER / name / "cluster.yaml").read_text("utf-8")
    assert "~/.rnnbench/ray_token" in config["file_mounts"].values()
    assert any("chmod 600" in command for command in config["setup_commands"])
    assert "RAY_AUTH_MODE=token" in text
    head = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head


def kubernetes(options=False):
    """Return the documents of all files, perhaps with what they offer as options."""
    files = sorted((CLUSTER / "kubernetes").glob("*.yaml"))
    text = "\n---\n".join(file.read_text("utf-8") for file in files)
    if options:
        assert text.count("# OPTION ") >= 6
        text = text.replace("# OPTION ", "")
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("options", [False, True])
def test_kubernetes_takes_every_document(options):
    for document in kubernetes(options):
        if document["kind"] != "RayJob":
            kubernetes_validate.validate(document, "1.33", strict=True)
            continue
        jsonschema.validate(document, json.loads((SCHEMAS / "kuberay.json").read_text()))
        spec = document["spec"]["rayClusterSpec"]
        assert spec["authOptions"]["mode"] == "token"
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"},
                   "template": group["template"]}  # fmt: skip
            kubernetes_validate.validate(pod, "1.33", strict=True)
            assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_pods_are_reached_by_name_and_not_from_everywhere():
    kinds = {document["kind"]: document for document in kubernetes()}
    spec = kinds["RayJob"]["spec"]["rayClusterSpec"]
    chosen = kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items()
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert chosen <= group["template"]["metadata"]["labels"].items()
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert all(rule["from"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"])


def test_deleting_the_job_deletes_no_results_and_all_pods_find_them_and_the_data():
    (job,) = yaml.safe_load_all((CLUSTER / "kubernetes/rayjob.yaml").read_text("utf-8"))
    claims = {d["metadata"]["name"] for d in kubernetes() if d["kind"] == "PersistentVolumeClaim"}
    spec = job["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        used = {
            v["persistentVolumeClaim"]["claimName"]
            for v in volumes.values()
            if "configMap" not in v
        }
        assert used == claims
        (container,) = pod["containers"]
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert {"name": "RNNBENCH_DATA", "value": mounts["data"]} in container["env"]
        assert f"--out {mounts['results']}" in job["spec"]["entrypoint"]


def test_skypilot_takes_the_task():
    schema = json.loads((SCHEMAS / "skypilot.json").read_text("utf-8"))
    task = read("skypilot/sweep.yaml")
    jsonschema.validate(task, schema["task"])
    assert "ports" not in task["resources"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**task, "resources": {"use_spots": True}}, schema["task"])


def test_the_shells_of_all_files_are_sound(tmp_path):
    scripts = {"sweep.sbatch": (CLUSTER / "slurm/sweep.sbatch").read_text("utf-8")}
    task = read("skypilot/sweep.yaml")
    for part in ("setup", "run"):
        scripts[f"skypilot-{part}.sh"] = f"#!/bin/bash\n{task[part]}"
    for name in LAUNCHED:
        config = read(f"{name}/cluster.yaml")
        for part in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
            scripts[f"{name}-{part}.sh"] = "#!/bin/bash\n" + "\n".join(config[part]) + "\n"
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        subprocess.run(["bash", "-n", tmp_path / name], check=True)
    # SC2155, SC2164: the launcher's lines are run one by one. SC2086: RAY_HEAD_IP is an address.
    done = subprocess.run(
        [tool("shellcheck"), "--exclude=SC2155,SC2164,SC2086", *sorted(tmp_path.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_slurm_job_is_warned_and_may_be_requeued():
    text = (CLUSTER / "slurm/sweep.sbatch").read_text("utf-8")
    options = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in text.splitlines() if line.startswith("#SBATCH")
    )  # fmt: skip
    assert options["signal"].startswith("B:USR1@")
    assert {"requeue", "exclusive"} <= options.keys()
    assert "umask 077" in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_unit_and_starts_what_died_again(tmp_path):
    text = (CLUSTER / "onprem/rnnbench@.service").read_text("utf-8")
    unit = tmp_path / "rnnbench@.service"  # systemd looks for the programs too
    unit.write_text(text.replace("%h/rnnbench-env/bin/rnnbench", shutil.which("true")))
    done = subprocess.run(
        [shutil.which("systemd-analyze"), "--user", "--man=no", "verify", unit],
        env={"XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    settings = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    assert settings["Restart"] == "on-failure"
    assert not {"69", "75"} & set(settings["RestartPreventExitStatus"].split())
    assert int(settings["StartLimitBurst"]) > 0


def test_what_died_for_no_fault_of_the_sweep_is_started_again_in_every_recipe():
    job = next(yaml.safe_load_all((CLUSTER / "kubernetes/rayjob.yaml").read_text("utf-8")))
    assert job["spec"]["backoffLimit"] > 0
    assert "--supervise" in job["spec"]["entrypoint"]
    recovery = read("skypilot/sweep.yaml")["resources"]["job_recovery"]
    assert {69, 75, 137} <= set(recovery["recover_on_exit_codes"])
    for name in LAUNCHED:
        assert "-- --supervise" in (CLUSTER / name / "README.md").read_text("utf-8")


def test_hadolint_has_nothing_to_say():
    done = subprocess.run([tool("hadolint"), CLUSTER / "Dockerfile"], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_of_the_pinned_versions_and_not_root():
    text = (CLUSTER / "Dockerfile").read_text("utf-8")
    python = PROJECT["tool"]["mypy"]["python_version"]
    assert f"FROM python:{python}-" in text
    assert re.findall(r"(?m)^USER (.+)$", text) == ["1000:100"]
    assert "-c cluster/constraints.txt" in text
    assert "RAY_AUTH_MODE=token" in text


@pytest.mark.parametrize("file", [*CODE, *PAGES], **names)
def test_versions_are_those_that_are_pinned(file):
    text = file.read_text("utf-8")
    python = PROJECT["tool"]["mypy"]["python_version"]
    assert set(re.findall(r"rnnbench:(\d[\d.]*\d)", text)) <= {PROJECT["project"]["version"]}
    assert set(re.findall(r"""rayVersion: "([\d.]+)\"""", text)) <= {PINS["ray"]}
    assert set(re.findall(r"\bray(?:\[\w+\])?==([\d.]+)", text)) <= {PINS["ray"]}
    assert set(re.findall(r"(?:python|--python )(3\.\d+)", text)) <= {python}


@pytest.mark.parametrize("file", FILES, **names)
def test_no_file_holds_a_secret_or_opens_a_port_to_all(file):
    text = file.read_text("utf-8")
    assert not re.search(r"(?:AKIA|ASIA)[A-Z0-9]{16}|PRIVATE KEY-----|[?&]sig=|eyJ[\w-]{20,}", text)
    assert not re.search(r"(?<![\w-])[0-9a-f]{32,}(?![\w-])", text)
    assert not re.search(r"(?i)(?:token|secret|password|api_key)[\w]*\s*[:=]\s*['\"]?\w{16,}", text)
    assert "dashboard-host=0.0.0.0" not in text
    assert "0.0.0.0/0" not in text or file.suffix == ".md"


@pytest.mark.parametrize("page", PAGES, **names)
def test_a_page_s_links_and_commands_lead_somewhere(page):
    from rnnbench.cli import main

    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#\s:]+)\)", text):
        assert (page.parent / link).exists(), link
    for command, sub in re.findall(r"(?m)^\s*rnnbench ([a-z]+)(?: ([a-z]+))?", text):
        known = main.commands[command]
        assert not hasattr(known, "commands") or sub in known.commands
    for file in re.findall(r"\bcluster/[\w./-]+\.\w+", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("name", [*LAUNCHED, "kubernetes", "slurm", "skypilot"])
def test_every_way_has_a_page_with_the_same_parts(name):
    text = (CLUSTER / name / "README.md").read_text("utf-8")
    for part in (
        "Zero to leaderboard", "Back to nothing", "What starts the driver again", "Cost and loss",
        "Security",
    ):  # fmt: skip
        assert f"## {part}" in text
    assert f"]({name}/README.md)" in (CLUSTER / "README.md").read_text("utf-8")
