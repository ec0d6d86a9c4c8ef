"""Small commands in place of SLURM's."""

from __future__ import annotations

from pathlib import Path

from metarun import schema

DEFAULTS = {field.name: field.default for field in schema.schema("hydra/launcher/submitit_slurm")} | {
    "nodes": 1, "tasks_per_node": 1, "cpus_per_task": 1, "setup": [], "srun_args": [], "additional_parameters": {},
}  # fmt: skip
del DEFAULTS["_target_"]


class Fakes:
    """A folder of commands that answer from files: sbatch from `sbatch`, squeue from `queue`, scontrol from `job`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.says("queue", "")
        self.says("sbatch", "echo Submitted batch job 77")
        self.says("job", "JobState=RUNNING")
        self.command("sbatch", f'echo "$@" >>{folder}/sent; cp "$1" {folder}/script; . {folder}/sbatch')
        self.command("squeue", f"cat {folder}/queue")
        self.command("scontrol", f'echo "$@" >>{folder}/asked; cat {folder}/job')
        self.command("srun", "true")
        self.command("sacct", "exit 1")

    def command(self, name: str, text: str) -> None:
        """Write a command."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def says(self, name: str, text: str) -> None:
        """Set what a command answers."""
        (self.folder / name).write_text(f"{text}\n")

    def read(self, name: str) -> str:
        """Return a file, "" where it was not written."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""
