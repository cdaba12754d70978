"""Problems of a cluster are found in made-up reports of its nodes."""

import dataclasses

import pytest

from rnnbench.sweep.cluster.compare_nodes import NodeReport, compare, lacks_cpus, table

DRIVER = NodeReport(
    "driver",
    versions={"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0", "rnnbench": "0.1.0"},
    code="c0de", plugins={"tricks/clip": "rnnbench 0.1.0 aa", "tasks/co2": "rnnbench 0.1.0 bb"},
    cpus=8, disk_free=50 * 2**30, disk_total=100 * 2**30, threads="1",
)  # fmt: skip
GPU = dataclasses.replace(DRIVER, name="gpu", gpus=("H100",) * 4, gpus_ray=4.0, cpus=64)
PLAIN = dataclasses.replace(DRIVER, name="plain")


def test_nodes_that_differ_in_hardware_alone_agree():
    assert compare(DRIVER, [PLAIN, GPU]) == []


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"versions": {**DRIVER.versions, "torch": "2.12.0"}}, "torch 2.12.0", "constraints.txt"),
        ({"versions": {**DRIVER.versions, "torch": None}}, "has no torch", "constraints.txt"),
        ({"code": "0ther"}, "same version of rnnbench and other code", "rnnbench submit"),
        ({"plugins": {"tricks/clip": "rnnbench 0.1.0 aa"}}, "lacks tasks/co2", "--plugin"),
        (
            {"plugins": {**DRIVER.plugins, "tricks/clip": "rnnbench 0.1.0 cc"}},
            "has other code of tricks/clip",
            "--plugin",
        ),
        ({"gpus_ray": 2.0}, "Ray gives out 2 GPUs, and the machine shows 0", "nvidia-smi"),
        ({"clock": (-5.0, 0.1)}, "5.0 s behind the driver's", "chrony"),
        ({"disk_free": 2**30}, "1.0 of 100.0 GiB are free", "--temp-dir"),
        ({"unseen": ("gpu",)}, "written by gpu", "--out must be storage"),
        ({"storage": "cannot write to the folder of results"}, "cannot write", "mount the same"),
        ({"error": "does not answer: look at `ray status`"}, "does not answer", "ray status"),
    ],
)
def test_each_problem_is_one_line_that_names_the_node_and_says_what_to_do(change, said, remedy):
    (line,) = compare(DRIVER, [GPU, dataclasses.replace(PLAIN, **change)])
    assert line.startswith("plain: ")
    assert said in line
    assert remedy in line


def test_a_clock_that_could_not_be_read_closely_is_given_the_benefit_of_the_doubt():
    slow = dataclasses.replace(PLAIN, clock=(5.0, 4.0))
    assert compare(DRIVER, [slow]) == []


def test_threads_that_differ_are_one_problem_of_the_cluster():
    (line,) = compare(DRIVER, [PLAIN, dataclasses.replace(GPU, threads=None)])
    assert "plain 1, gpu unset" in line


def test_a_driver_that_does_not_share_the_storage_is_told():
    (line,) = compare(dataclasses.replace(DRIVER, unseen=("plain",)), [PLAIN])
    assert line.startswith("the driver: does not see")


def test_a_cluster_without_cpus_is_told_with_what_to_do():
    head = dataclasses.replace(PLAIN, cpus_ray=0.0)
    (line,) = lacks_cpus([head])
    assert "no CPU for trials" in line
    assert "ray start --address" in line
    assert lacks_cpus([head, dataclasses.replace(PLAIN, cpus_ray=4.0)]) == []
    assert compare(DRIVER, [head]) == [], "machines may come when a sweep asks for them"


def test_many_plugins_are_counted_and_not_all_listed():
    driver = dataclasses.replace(DRIVER, plugins={f"tricks/t{i}": "x" for i in range(9)})
    (line,) = compare(driver, [dataclasses.replace(PLAIN, plugins={})])
    assert "t4 and 4 more" in line


def test_the_table_marks_what_differs_and_nothing_else():
    other = dataclasses.replace(PLAIN, versions={**DRIVER.versions, "ray": "2.59.0"}, cpus=2)
    lost = NodeReport("lost", error="gone")
    marked = [row[0] for row in table(DRIVER, [other]) if row[2].endswith(" *")]
    assert marked == ["ray"]
    assert all(row[2].startswith("?") for row in table(DRIVER, [lost])[1:])


def test_nodes_that_clean_up_at_the_same_time_leave_nothing_behind(tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    from rnnbench.sweep.cluster.ask_nodes import NodeProbe

    root = tmp_path / "results"
    (root / "check").mkdir(parents=True)
    (root / "check" / "node").touch()
    remove = LocalFileSystem.rm

    def another_was_first(self, path, **options):
        remove(self, path, **options)
        raise FileNotFoundError(path)

    monkeypatch.setattr(LocalFileSystem, "rm", another_was_first)
    probe = NodeProbe()
    probe._made_root = str(root)
    probe.clean(str(root / "check"))
    assert list(tmp_path.iterdir()) == []
