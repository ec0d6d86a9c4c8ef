"""Who a process is, which part is its own, and what is refused; several at work are in test_several.py."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from omegaconf import DictConfig
from toys import composed

from metarun import ranks, supervisor
from metarun.errors import MetarunError

NAMES = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID",
)  # fmt: skip
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
STEP = {"SLURM_PROCID": "2", "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3", "SLURM_LOCALID": "1"}
BATCH = {"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}
PACKED = {"SLURM_PROCID": "0", "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "1"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def become(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, (0, 1, 0)),
        (TORCHRUN, (3, 4, 1)),
        (STEP, (2, 3, 1)),
        (BATCH, (0, 1, 0)),  # the script of a job with three tasks runs once
        (PACKED, (0, 1, 0)),
        (STEP | TORCHRUN, (3, 4, 1)),
    ],
)
def test_the_environment_says_who_this_is(
    variables: dict[str, str], place: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, variables)
    assert ranks.place() == place
    assert (ranks.number(), ranks.world(), ranks.first()) == (place[0], place[1], place[0] == 0)


def test_processes_of_a_step_meet_at_its_first_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    become(monkeypatch, STEP | {"SLURM_JOB_ID": "70000", "SLURM_STEP_ID": "1", "SLURM_STEP_NODELIST": "node[07-09]"})
    host, port = ranks._meeting()
    assert (host, 15_000 <= port < 30_000) == ("node07", True)
    become(monkeypatch, {"SLURM_STEP_ID": "2"})
    assert ranks._meeting()[1] != port
    become(monkeypatch, {"MASTER_ADDR": "there", "MASTER_PORT": "5"})
    assert ranks._meeting() == ("there", 5)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize(("count", "unit"), [(0, 1), (1, 1), (7, 1), (7, 3), (16, 8), (250, 8)])
def test_parts_are_all_and_do_not_overlap(count: int, unit: int, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    sizes = []
    for number in range(world):
        become(monkeypatch, {"RANK": str(number), "WORLD_SIZE": str(world)})
        part = range(count)[ranks.part(count, unit)]
        assert part.start % unit == 0 or not part
        found += part
        sizes.append(-(-len(part) // unit))
    assert found == list(range(count))
    assert max(sizes) - min(sizes) <= 1


def test_it_is_asked_without_torch() -> None:
    code = "import sys; from metarun import ranks; ranks.number(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_alone_there_is_nothing_to_share() -> None:
    tensor = torch.ones(2)
    assert ranks.shared(lambda: 3) == 3
    assert ranks.total(tensor) is tensor
    assert ranks.part(10) == slice(0, 10)


def config(*overrides: str) -> DictConfig:
    return composed(*overrides)


@pytest.mark.parametrize(
    ("overrides", "variables", "count"),
    [
        ([], {}, 0),
        (["trainer=ddp_cpu"], {}, 2),
        (["trainer=ddp_cpu", "trainer.devices=3"], {}, 3),
        (["trainer=ddp_cpu"], TORCHRUN, 0),
        (["trainer=ddp_cpu"], STEP, 0),
        (["trainer=ddp_cpu"], BATCH, 2),
        (["trainer=ddp_cpu", "trainer.nodes=2"], {}, 0),
    ],
)
def test_how_many_are_started_here(
    overrides: list[str], variables: dict[str, str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, variables)
    assert ranks.local(config(*overrides)) == count


@pytest.mark.parametrize("found", [0, 1, 4])
def test_ddp_takes_every_gpu_of_the_machine(found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "gpus", lambda: found)
    assert ranks.local(config("trainer=ddp")) == (4 if found == 4 else 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=gpu"], "trainer.accelerator=gpu: torch .* finds no GPU here; trainer=auto"),
        (["trainer=ddp"], "trainer.accelerator=gpu: torch .* finds no GPU here"),
        (["trainer=ddp_cpu"], "trainer.devices=2 on trainer.nodes=1 are 2 processes, and there is 1"),
        (["trainer.nodes=2"], "trainer.devices=1 on trainer.nodes=2 are 2 processes, .*hydra/launcher=submitit_slurm"),
    ],
)
def test_what_is_not_there_is_refused(overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ranks, "gpus", lambda: 0)
    with pytest.raises(MetarunError, match=message):
        ranks.join(config(*overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=auto"], r"trainer\.devices=auto counts GPUs, .*give a number of processes"),
        (["trainer.devices=4", "trainer.nodes=2", "pipeline.meta.tasks=7"], r"share pipeline\.meta\.tasks=7 tasks"),
        (["trainer.devices=0"], r"trainer\.devices=0: out of bounds, give auto \| int >= 1"),
        (["trainer.accelerator=tpu"], r"trainer\.accelerator=tpu: not allowed, give cpu \| gpu \| auto"),
    ],
)
def test_impossible_pairs_are_refused_when_composed(overrides: list[str], message: str) -> None:
    with pytest.raises(MetarunError, match=message):
        config(*overrides)


def test_a_process_takes_the_gpu_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    become(monkeypatch, TORCHRUN)
    assert ranks.device(config("trainer=auto").trainer) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # a cluster that shows each task its own
    assert ranks.device(config("trainer=gpu").trainer) == torch.device("cuda", 0)
    assert ranks.device(config().trainer) == torch.device("cpu")


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "gpus", lambda: 1)
    with pytest.raises(MetarunError, match=r"trainer\.devices=2 with trainer\.accelerator=gpu.*torch finds 1 here"):
        supervisor.check(config("trainer=gpu", "trainer.devices=2"), 2)


def test_more_threads_than_cores_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    supervisor.check(config("trainer=ddp_cpu", "trainer.threads=500"), 2)
    assert "trainer.devices=2 with trainer.threads=500 are 1000 threads on" in capsys.readouterr().err
