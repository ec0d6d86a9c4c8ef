"""Several processes as one run: who this one is, what all of them share, which part of a batch is its own.

Every process runs the whole command. What is a sum over rows or tasks is computed in parts (`part`, `total`); all the
rest is done by the first process, and the others are told what came of it (`shared`). Torch is imported where it is
needed: whether there are several processes is asked before it is.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from metarun.errors import MetarunError, PeerGone

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig

T = TypeVar("T")
MEET = timedelta(minutes=10)
"""How long the processes of a run wait for each other at the start."""
PATIENCE = timedelta(days=7)
"""How long they wait afterwards, while the first one judges; one that dies is noticed by its closed connection."""

_alone = False
"""Whether the first process is at work for all, see `shared`."""


class Place(NamedTuple):
    """Who this process is among those of its run."""

    number: int  # 0 is the first
    world: int
    local: int  # number among those of its machine


def place() -> Place:
    """Return what the environment says: of torchrun's variables, which `metarun` sets too, or of a step of SLURM.

    SLURM_NTASKS alone says nothing: a batch script has it too, and runs once.
    """
    named = os.environ
    if "RANK" in named and "WORLD_SIZE" in named:
        return Place(int(named["RANK"]), int(named["WORLD_SIZE"]), int(named.get("LOCAL_RANK", 0)))
    if int(named.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in named:
        return Place(int(named["SLURM_PROCID"]), int(named["SLURM_STEP_NUM_TASKS"]), int(named.get("SLURM_LOCALID", 0)))
    return Place(0, 1, 0)


def number() -> int:
    """Return the number of this process, 0 for the first and for one at work for all."""
    return 0 if _alone else place().number


def world() -> int:
    """Return how many processes compute what is being computed."""
    return 1 if _alone else place().world


def first() -> bool:
    """Return whether this process writes, prints and judges."""
    return number() == 0


def gpus() -> int:
    """Return how many GPUs torch finds on this machine."""
    import torch

    return torch.cuda.device_count()


def per_node(cfg: DictConfig) -> int:
    """Return how many processes a config wants on each machine."""
    devices = cfg.trainer.devices
    return max(1, gpus()) if devices == "auto" else int(devices)


def local(cfg: DictConfig) -> int:
    """Return how many processes a config starts on this machine; 0 where this process does the work, alone or not."""
    count = 0 if place().world > 1 or cfg.trainer.nodes > 1 else per_node(cfg)
    return count if count > 1 else 0


def join(cfg: DictConfig) -> None:
    """Meet the other processes of the run; a second call changes nothing.

    Raises:
        MetarunError: there are more or fewer than the config says, or no GPU for this one.
    """
    there = place().world
    device(cfg.trainer)
    wanted = per_node(cfg) * cfg.trainer.nodes
    if wanted != there:
        raise MetarunError(
            f"trainer.devices={cfg.trainer.devices} on trainer.nodes={cfg.trainer.nodes} are {wanted} processes, and "
            f"there {'is' if there == 1 else 'are'} {there}. On one machine the command `metarun` starts them, on "
            "several SLURM does (hydra/launcher=submitit_slurm, or srun with a task per device), or torchrun"
        )
    if there > 1:
        _meet(cfg)


def _meet(cfg: DictConfig) -> None:
    """Open the connections between the processes: gloo, with nccl for what lies on a GPU."""
    import torch.distributed as dist
    from torch._C._distributed_c10d import TCPStore

    if dist.is_initialized():
        return
    mine, (host, port) = place(), _meeting()
    many = "cpu:gloo,cuda:nccl" if device(cfg.trainer).type == "cuda" else "gloo"
    try:
        store = TCPStore(host, port, mine.world, is_master=mine.number == 0, timeout=MEET)
        dist.init_process_group(many, store=store, rank=mine.number, world_size=mine.world, timeout=PATIENCE)
    except RuntimeError as error:
        raise MetarunError(
            f"process {mine.number} of {mine.world} has not met the others at {host}:{port} "
            f"({str(error).splitlines()[0]}): set MASTER_ADDR and MASTER_PORT to where the first one can be reached"
        ) from error
    if "nccl" in many:
        atexit.register(dist.destroy_process_group)


def _meeting() -> tuple[str, int]:
    """Return host and port of the first process: what the environment says, in a step of SLURM its first node.

    Steps of one node have different ports, and all processes of a step find the same.
    """
    named = os.environ
    if "MASTER_PORT" in named:
        return named.get("MASTER_ADDR", "127.0.0.1"), int(named["MASTER_PORT"])
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    nodes = named.get("SLURM_STEP_NODELIST", named.get("SLURM_NODELIST", "127.0.0.1"))
    step = 31 * int(named.get("SLURM_JOB_ID", 0)) + int(named.get("SLURM_STEP_ID", 0))
    return named.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes), 15_000 + step % 15_000


def device(trainer: Any) -> torch.device:
    """Return where this process computes: on the CPU, or on the GPU with its number among those of the machine.

    Raises MetarunError where a GPU is asked for and there is none.
    """
    import torch

    if trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MetarunError(
            f"trainer.accelerator={trainer.accelerator}: torch {torch.__version__} finds no GPU here; "
            "trainer=auto takes one where there is one, trainer=cpu never does"
        )
    # A cluster may show each task its own GPU alone, as the first.
    return torch.device("cuda", place().local % torch.cuda.device_count())


def part(count: int, unit: int = 1) -> slice:
    """Return this process's part of `count` rows or tasks, whole groups of `unit`; the parts differ by one group.

    >>> part(10)
    slice(0, 10, None)
    """
    groups, mine, all_ = -(-count // unit), number(), world()
    return slice(unit * (groups * mine // all_), min(count, unit * (groups * (mine + 1) // all_)))


def total(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum of the tensors of all processes, in place; the same bits in each of them."""
    if world() > 1:
        import torch.distributed as dist

        _or_gone(lambda: dist.all_reduce(tensor))
    return tensor


def shared(function: Callable[[], T]) -> T:
    """Return what the first process computes, alone, to all of them; an error there is raised in all.

    Inside of `function` the first process is the only one: `world()` is 1, and a call within the call just computes.
    """
    global _alone
    if world() == 1:
        return function()
    answer: list[Any] = [None, None]
    if first():
        _alone = True
        try:
            answer[0] = function()
        except BaseException as error:
            answer[1] = error
        finally:
            _alone = False
    told: T = _told(answer)
    return told


def _told(answer: list[Any]) -> Any:
    """Send (value, error) of the first process to the others; return the value or raise the error."""
    import torch.distributed as dist

    value, error = answer
    plain = error is None or isinstance(error, MetarunError | KeyboardInterrupt)
    sent = [value, error if plain else MetarunError(f"the first process has failed: {error!r}")]
    try:
        _or_gone(lambda: dist.broadcast_object_list(sent, 0))
    except MetarunError:
        if error is None:
            raise
    if error is not None:
        raise error
    if sent[1] is not None:
        raise sent[1]
    return value if number() == 0 else sent[0]


def _or_gone(collective: Callable[[], Any]) -> None:
    """Do something together; raises PeerGone where one of the processes is there no more."""
    try:
        collective()
    except RuntimeError as error:
        raise PeerGone(
            f"another of the {world()} processes of this run has ended ({str(error).splitlines()[0][:200]}); "
            "the same command takes the run up where it was saved"
        ) from error
