"""What `metarun` says of itself: the welcome, the guide (--help) and the version. Written from the YAML headers."""

from __future__ import annotations

import importlib.metadata
import platform
import textwrap

from rich.console import Console

import metarun
from metarun import options, terminal
from metarun.schema import default_groups, schema

_WHAT = (
    "Pretrain a model, adapt it to new tasks and streams (transfer, online, adaptive), learn how to adapt (meta), and "
    "compare every way on the same tasks. Without any data it runs on a small synthetic sample."
)
WELCOME = (
    ("metarun +experiment=movielens_maml", "run it: pretrain, adapt, meta-update, and one table at the end"),
    ("metarun list", "what there is: experiments, strategies, backbones, data"),
    ("metarun show experiment/movielens_maml", "every field of it, and what it means"),
    ("metarun report latest", "the results once more, or several runs side by side"),
    ("metarun --help", "the whole guide on one page"),
)
_VERBS = (
    ("list [GROUP]", "what there is, one line each"),
    ("show GROUP/NAME", "a YAML with its fields and their help; saved, it is one that runs"),
    ("data list | fetch NAME | check NAME", "datasets: which there are, get one, look at it"),
    ("data template ratings", "an example of files of your own, also table, texts; data check FILE --as ratings looks"),
    (
        "data check FOLDER --as images",
        "what a run would see in a folder of class folders, and the command that starts it",
    ),
    ("advise DATASET", "which backbone and strategy: a small tournament on validation tasks; --budget 10m"),
    (
        "report RUN...",
        "compare runs (a folder, latest, an experiment, a run id): seeds averaged, paired; --html FILE for a page",
    ),
    ("recommend RUN --ratings my.csv", "what a person with these ratings (columns item,rating) would like, and why"),
    ("predict RUN --support labelled.csv --query new.csv", "adapt to labelled rows and predict others"),
    ("explain RUN --support labelled.csv --query new.csv", "which labelled rows moved each prediction most"),
    ("update RUN --ratings new.csv", "take in ratings that came since (columns user,item,rating), without retraining"),
)
EXAMPLES = (
    ("metarun +experiment=movielens_maml", "an experiment as it is"),
    ("metarun +experiment=movielens_maml strategy=meta/ridge backbone.dim=64", "another option, another value"),
    (
        "metarun 'strategy=[transfer/finetune,online/sgd,meta/maml]' pipeline.rounds=3",
        "one strategy of each family, in rounds",
    ),
    ("metarun -m +experiment=movielens_maml strategy=meta/maml,meta/ridge seed=0,1,2", "-m runs every combination"),
    ("metarun +experiment=movielens_maml tuned.maml.inner_lr=0.3", "a value of one method, in every run that has it"),
)
_SWEEPS = (
    (
        "-m ... strategy=meta/maml,meta/ridge seed=0,1,2",
        "every combination; what is finished is skipped",
    ),
    ("-m ... hydra/launcher=joblib", "side by side on this machine, hydra.launcher.n_jobs at a time"),
    ("... hydra/launcher=submitit_slurm", "as jobs of a SLURM cluster; metarun show hydra/launcher/submitit_slurm"),
    (
        "... +sweep=pretraining",
        "a search by validation values (Optuna) over a ready space, or x=interval(.01,.1)",
    ),
)
_SHELL = (
    ("METARUN_DATA", "folder of datasets (else ~/.cache/metarun/data)"),
    ("METARUN_CONF", "folder of your own configs: backbone/mine.yaml is backbone=mine; yours win over ours"),
    ("METARUN_TRUST", "your own packages whose classes a config may name, as mylab,theirlab"),
)
_FLAGS = (
    ("-m, --dry-run", "a sweep; its jobs as a table, none of them run"),
    ("-c job", "print the composed config and stop"),
    ("--version, --hydra-help", "versions; the flags of Hydra, which composes the runs"),
)


def welcome() -> None:
    """Print what metarun is and the first commands to type."""
    console = terminal.console()
    console.print(f"[bold]metarun {metarun.__version__}[/]  learning that adapts, from one command\n")
    for line in textwrap.wrap(_WHAT, min(terminal.width(), 100) - 2):
        console.print(f"  {line}")
    console.print()
    terminal.rows(console, WELCOME)


def version() -> None:
    """Print the version of metarun and of what it stands on."""
    below = ("torch", "pytorch-lightning", "hydra-core", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in below)
    print(f"metarun {metarun.__version__} (Python {platform.python_version()}, {versions})")


def guide() -> None:
    """Print the page of --help: verbs, groups, the fields of every run."""
    console = terminal.console()
    console.print("[bold]metarun[/] [cyan]+experiment=NAME GROUP=OPTION FIELD=VALUE ...[/]  a run")
    console.print("[bold]metarun[/] [cyan]VERB ...[/]                                       anything else\n")
    _section(console, "Verbs", "", _VERBS)
    _section(console, "Runs", "", EXAMPLES)
    _section(console, "Sweeps", "many runs from one command", _SWEEPS)
    _section(console, "Groups", "GROUP=OPTION chooses one; * is the default", _groups())
    fields = ((f"{field.name}={_short(field.default)}", field.help) for field in schema(options.ROOT))
    _section(console, "Fields of every run", "those of an option: metarun show GROUP/NAME", tuple(fields))
    _section(console, "Flags", "", _FLAGS)
    _section(console, "Shell", "environment variables", _SHELL)


def _groups() -> tuple[tuple[str, str], ...]:
    """Return (group, its options) of every group, baselines left to `metarun list`."""
    chosen = default_groups()
    rows = []
    for group in options.groups():
        names = [name for name in options.names(group) if not name.startswith("baseline/")]
        marked = [f"{name}*" if name == chosen.get(group) else name for name in names]
        rows.append((f"+{group}" if group not in chosen else group, ", ".join(marked)))
    return tuple(rows)


def _short(value: object) -> str:
    return "null" if value is None else str(value)


def _section(console: Console, name: str, aside: str, pairs: tuple[tuple[str, str], ...]) -> None:
    terminal.title(console, name, aside)
    terminal.rows(console, pairs)
