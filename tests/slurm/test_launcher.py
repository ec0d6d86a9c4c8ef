"""The launcher against small commands in place of SLURM's: what is sent, joined, refused, and how ends are told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import DEFAULTS, Fakes
from on_cluster import missing

from metarun import config
from metarun.cli import main
from metarun.errors import MetarunError
from metarun.launchers import node, slurm, submission
from metarun.launchers.base import Job, Outcome
from metarun.launchers.slurm import Slurm
from metarun.launchers.submission import Site, Ticket


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three points of a sweep."""
    return [Job(n, [f"seed={n}"], tmp_path / "outputs" / "run" / f"0000000{n}", f"seed={n}") for n in (1, 2, 3)]


def launcher(**fields: Any) -> Slurm:
    """Return a launcher with some fields of its own."""
    return Slurm(**{**DEFAULTS, **fields})


def perform(jobs: list[Job], **fields: Any) -> list[Outcome]:
    """Return the outcomes in the order of the jobs."""
    return sorted(launcher(**fields).perform(jobs), key=lambda outcome: outcome.job.number)


def finish(job: Job) -> None:
    """Leave what a finished run leaves."""
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / "summary.json").write_text(json.dumps({"metric": "rmse", "chain": ["m"], "validation": {"m": 0.5}}))


# ---------------------------------------------------------------------- what is refused


def test_without_slurm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, jobs: list[Job], tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MetarunError, match=r"there is no sbatch, srun, squeue, scontrol .*login node.*slurm_local\.sh up"
    ):
        perform(jobs)


def test_sbatch_refuses_in_its_own_words(fakes: Fakes, jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    words = "sbatch: error: invalid partition specified: nowhere"
    fakes.says("sbatch", f"echo '{words}' >&2; echo 'sbatch: error: Batch job submission failed: no' >&2; exit 1")
    with pytest.raises(MetarunError) as found:
        perform(jobs, partition="nowhere")
    assert str(found.value).startswith("sbatch refuses the job: invalid partition specified: nowhere; Batch job")
    assert "\n" not in str(found.value)
    assert "sbatch: error" not in capsys.readouterr().err, "said once"
    assert not (jobs[0].folder / submission.TICKET).exists()


@pytest.mark.parametrize(
    ("fields", "ranks", "complaint"),
    [
        ({"timeout_min": 2}, 1, "signal_delay_s=120: a job of timeout_min=2"),
        ({"tasks_per_node": 3}, 2, "tasks_per_node=3, nodes=1: the run has 2 ranks"),
        ({"tasks_per_node": 2, "runs_per_job": 4}, 2, "runs_per_job=4: a run over 2 devices"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], ranks: int, complaint: str) -> None:
    with pytest.raises(MetarunError, match=complaint):
        submission.check_site(Site(**{**DEFAULTS, **fields}), ranks)


def test_runs_that_ask_for_other_nodes_are_no_array(fakes: Fakes, jobs: list[Job]) -> None:
    jobs = [
        job._replace(words=[f"trainer.accelerator={kind}"]) for job, kind in zip(jobs, ("cpu", "gpu"), strict=False)
    ]
    with pytest.raises(MetarunError, match=r"cpu 1 x 1, gpu 1 x 1 in one sweep; .* its own command"):
        perform(jobs)


def test_a_folder_that_cannot_be_written(fakes: Fakes, jobs: list[Job], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetarunError, match=r"file/jobs: cannot be written \(Not a directory\)"):
        perform(jobs, submitit_folder=f"{tmp_path}/file/jobs")


# ---------------------------------------------------------------------- what is sent


def test_the_sites_fields_reach_sbatch(fakes: Fakes, jobs: list[Job]) -> None:
    found = perform(
        jobs, partition="gpu", account="lab", qos="high", constraint="a100", gres="gpu:2", mem_gb=1.5, timeout_min=30,
        setup=["module load cuda"], srun_args=["--mpi=none"], additional_parameters={"reservation": "night"},
        array_parallelism=2, cpus_per_task=4, wait=False,
    )  # fmt: skip
    assert [outcome.state for outcome in found] == ["queued"] * 3
    script = fakes.read("script")
    for line in (
        "--partition=gpu", "--account=lab", "--qos=high", "--constraint=a100", "--gres=gpu:2", "--mem=1536M",
        "--time=30", "--reservation=night", "--array=0-2%2", "--requeue", "--signal=USR2@120", "--job-name=metarun",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert "export OMP_NUM_THREADS=4\nmodule load cuda\n" in script
    assert "--cpus-per-task=4 --kill-on-bad-exit=0 --mpi=none" in script


def test_a_gpu_for_each_task_unless_the_site_says_otherwise() -> None:
    def asked(accelerator: str, **fields: Any) -> Any:
        return submission.parameters(Site(**{**DEFAULTS, "tasks_per_node": 2, **fields}), 2, accelerator)

    assert asked("gpu")["gpus_per_node"] == 2
    assert "gpus_per_node" not in asked("cpu")
    assert "gpus_per_node" not in asked("gpu", gres="gpu:a100:2")
    assert asked("gpu", gpus_per_node=4)["gpus_per_node"] == 4


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({}, [1] * 7),
        ({"runs_per_job": 3}, [3, 3, 1]),
        ({"tasks_per_node": 2}, [2, 2, 2, 1]),
        ({"tasks_per_node": 2, "nodes": 2}, [4, 3]),
        ({"tasks_per_node": 2, "runs_per_job": 6}, [6, 1]),
    ],
)
def test_small_runs_share_jobs(fields: dict[str, Any], sizes: list[int]) -> None:
    many = [Job(n, [], Path(str(n)), "") for n in range(7)]
    found = list(submission.packed(many, Site(**{**DEFAULTS, **fields}), 1))
    assert [len(group) for group in found] == sizes
    assert [job for group in found for job in group] == many


@pytest.mark.parametrize(("said", "ends"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_cluster_that_does_not_come_up_fails_where_there_has_to_be_one(
    said: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METARUN_SLURM", said)
    with pytest.raises(ends, match="no local SLURM"):
        missing("no local SLURM")


# ---------------------------------------------------------------------- what is joined


def test_a_run_in_the_queue_is_not_sent_twice(
    fakes: Fakes, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    perform(jobs[:2], wait=False)
    fakes.says("queue", "77_0|PENDING|Resources|metarun\n77_1|RUNNING|None|metarun")
    found = perform(jobs, wait=False)
    assert fakes.read("sent").count("\n") == 2, "the third alone"
    assert [outcome.reason for outcome in found] == ["job 77_0", "job 77_1", "job 77"]
    assert "2 of 3 runs are in the queue already and joined: job 77_0, 77_1" in capsys.readouterr().err


def test_nothing_is_sent_while_the_queue_is_not_known(fakes: Fakes, jobs: list[Job]) -> None:
    fakes.command("squeue", "exit 1")
    with pytest.raises(MetarunError, match="squeue does not answer"):
        perform(jobs)
    assert not fakes.read("sent")


@pytest.mark.parametrize("line", ["", "77_0|CANCELLED|None|metarun", "77_0|RUNNING|None|another"])
def test_a_job_that_is_over_or_not_ours_is_not_joined(line: str, fakes: Fakes, jobs: list[Job]) -> None:
    perform(jobs[:2], wait=False)
    fakes.says("queue", line)
    perform(jobs[:1], wait=False)
    assert fakes.read("sent").count("\n") == 2


def test_ctrl_c_leaves_the_jobs_and_says_how_to_cancel_them(
    fakes: Fakes, jobs: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(_: float) -> None:
        raise KeyboardInterrupt

    fakes.says("queue", "77_0|PENDING|Priority|metarun\n77_1|RUNNING|None|metarun\n77_2|RUNNING|None|metarun")
    monkeypatch.setattr(slurm, "time", SimpleNamespace(sleep=pressed, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        perform(jobs)
    said = capsys.readouterr().err
    assert "slurm: 1 pending (Priority), 2 running\n" in said
    assert "the same command joins them. To cancel them: scancel 77\n" in said


# ---------------------------------------------------------------------- how runs end


@pytest.mark.parametrize(
    ("state", "ends", "why"),
    [
        ("CANCELLED", "stopped", "cancelled (job 77_1)"),
        ("OUT_OF_MEMORY", "failed", "out of memory; hydra.launcher.mem_gb asks for more"),
        ("TIMEOUT", "failed", "its time was over before it could save"),
        ("NODE_FAIL", "failed", "its node was lost"),
        ("COMPLETED", "failed", "ended without a result"),
        ("FAILED", "failed", "perhaps its node does not see"),
        ("", "failed", "SLURM does not know the job any more"),
    ],
)
def test_one_job_that_ends_early_ends_no_other(state: str, ends: str, why: str, fakes: Fakes, jobs: list[Job]) -> None:
    line = f"77_1|{state}|None|metarun" if state else ""
    fakes.says("queue", f"77_0|COMPLETED|None|metarun\n77_2|COMPLETED|None|metarun\n{line}")
    finish(jobs[0])
    finish(jobs[2])
    found = perform(jobs)
    assert [outcome.state for outcome in found] == ["finished", ends, "finished"]
    assert why in found[1].reason


@pytest.mark.parametrize(
    ("code", "ends", "why"),
    [
        (1, "failed", "RuntimeError: no"),
        (2, "refused", "seed=2: wrong"),
        (140, "stopped", "RuntimeError: no"),
        (-9, "failed", "killed by SIGKILL"),
    ],
)
def test_a_failed_run_is_named_with_its_log(
    code: int, ends: str, why: str, fakes: Fakes, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.says("queue", "77|RUNNING|None|metarun")
    job = jobs[1]
    job.folder.mkdir(parents=True)
    (job.folder / "metarun.log").write_text("Traceback\nmetarun: seed=2: wrong\nRuntimeError: no\n")
    real = submission.send

    def sent(*given: Any) -> list[Ticket]:
        tickets = real(*given)
        node.write_json(node.result_of(tickets[0].home, job.folder.absolute()), {"code": code})
        return tickets

    monkeypatch.setattr(submission, "send", sent)
    (found,) = perform([job])
    assert (found.state, found.log) == (ends, job.folder / "metarun.log")
    assert why in found.reason


# ---------------------------------------------------------------------- a site's own file


def test_a_sites_own_file_builds_on_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: Fakes) -> None:
    home = tmp_path / "conf" / "hydra" / "launcher"
    home.mkdir(parents=True)
    (home / "mysite.yaml").write_text("defaults: [submitit_slurm]\npartition: long\nsetup: [module load python]\n")
    monkeypatch.setenv("METARUN_CONF", str(tmp_path / "conf"))
    monkeypatch.chdir(tmp_path)
    words = ["+experiment=movielens_maml", "dataset.version=sample", "hydra.launcher.wait=false", "seed=0,1"]
    assert main(["hydra/launcher=mysite", "hydra.launcher.account=lab", *words]) == 0
    script = fakes.read("script")
    assert "#SBATCH --partition=long\n" in script
    assert "#SBATCH --account=lab\n" in script
    assert "\nmodule load python\n" in script
    assert sorted(path.name for path in tmp_path.glob("outputs/*/*/.slurm.json")) == [".slurm.json"] * 2


def test_every_field_of_the_yaml_is_taken() -> None:
    assert set(DEFAULTS) == set(Site.__dataclass_fields__)
    assert config.compose([]).name
