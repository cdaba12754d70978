"""What `sbatch` is asked for, and what is refused before anything is submitted."""

import pytest

from rnnbench.errors import SweepError
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.slurm_options import minutes_of, parameters, read_options
from rnnbench.sweep.file.resources import Resources


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        ("90", 90),
        ("5:30", 6),
        ("12:00:00", 720),
        ("00:03:00", 3),
        ("2-12", 3600),
        ("1-00:30", 1470),
        ("1-01:00:30", 1501),
    ],
)
def test_a_time_limit_is_read_as_slurm_reads_it(time, minutes):
    assert minutes_of(time) == minutes


@pytest.mark.parametrize("time", ["", "soon", "1h", "-5", "1:2:3:4", "2.5"])
def test_what_is_no_time_limit_is_refused(time):
    with pytest.raises(SweepError, match="no time limit"):
        minutes_of(time)


def test_a_time_limit_without_room_for_a_checkpoint_is_refused():
    with pytest.raises(SweepError, match="180 s or more"):
        minutes_of("2")


def test_options_are_those_of_sbatch():
    options = read_options(["partition=gpu", "--account=me", "exclusive", "mail_type=FAIL"])
    assert options == {
        "partition": "gpu",
        "account": "me",
        "exclusive": True,
        "mail-type": "FAIL",
        "time": "8:00:00",
    }


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-p gpu", "long option of sbatch"),
        ("partition=", "long option of sbatch"),
        ("array=0-3", "--workers says"),
        ("cpus-per-task=4", "resources: {cpus: N}"),
        ("output=x.log", "set by the engine"),
        ("no-requeue", "checkpoints"),
    ],
)
def test_an_option_that_cannot_be_taken_is_refused(option, words):
    with pytest.raises(SweepError, match=words.replace("{", r"\{")):
        read_options([option])


def test_an_option_that_is_given_twice_is_refused():
    with pytest.raises(SweepError, match="twice"):
        read_options(["partition=a", "partition=b"])


def test_resources_of_a_trial_become_those_of_a_job():
    resources = Resources(cpus=2.5, gpus=2, memory=4 * 10**9)
    chosen = parameters(read_options(["account=me"]), resources, Trainer(), "mine")
    assert (chosen["cpus_per_task"], chosen["gpus_per_node"]) == (3, 2)
    assert chosen["mem"] == "4512M"
    assert chosen["job_name"] == "rnnbench-mine"
    assert chosen["additional_parameters"] == {"account": "me", "requeue": True}
    assert chosen["srun_args"] == ["--cpus-per-task=3"]


def test_a_trainer_on_gpus_asks_for_them():
    chosen = parameters(
        read_options([]), Resources(), Trainer(accelerator="gpu", devices=4), "mine"
    )
    assert chosen["gpus_per_node"] == 4
    assert "gpus_per_node" not in parameters(read_options([]), Resources(), Trainer(), "mine")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(gpus=0.5), "whole ones"),
        (Resources(labels={"zone": "a"}), "--slurm constraint="),
        (Resources(placement="spread"), "--slurm spread-job"),
    ],
)
def test_what_slurm_cannot_give_is_refused_with_what_to_write(resources, words):
    with pytest.raises(SweepError, match=words):
        parameters(read_options([]), resources, Trainer(), "mine")
