"""Pairs of options that make no sense together, refused before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from metarun import options
from metarun.errors import MetarunError

ROWS_IN_TIME = "rows in time"
IN_ORDER = "rows in order"
EXAMINED = "exams"
RETRAINED = "baseline/retrained"
KNOWN = {
    "warm_80_20": ("users", "cold"),
    "recbole": ("users", "cold"),
    "images": ("classes", "seeded"),
    "rows": ("classes", "seeded"),
}
"""Splits without unseen tasks: what they have not, and the split that has it."""
KNOWN_CLASSES = ("images", "rows")
METRICS = {
    "classes": ("accuracy", "log_loss", "auroc"),
    "functions": ("squared_error", "absolute_error"),
    "ratings": ("rmse", "mae"),
}
EVALUATE = {"classes": "episodes", "functions": "functions", "ratings": "default"}


def check_pairs(cfg: DictConfig, strategies: Sequence[str]) -> None:
    """Raise MetarunError for an impossible pair, in words that say which option to change."""
    split, unit = OmegaConf.select(cfg, "dataset.split"), OmegaConf.select(cfg, "dataset.tasks") or "users"
    if split == "melu" and unit == "items":
        raise MetarunError("dataset.tasks=items: the tasks of dataset.split=melu are users; use dataset.split=cells")
    check_rows(cfg, strategies)
    check_sequence(cfg)
    check_metric(cfg)
    check_normalisation(cfg)
    check_passes(cfg, strategies)
    check_ranking(cfg, strategies)
    check_devices(cfg)
    if split in KNOWN and strategies:
        raise MetarunError(
            f"dataset.split={split} has no unseen {KNOWN[split][0]} to adapt to, so strategy={','.join(strategies)} "
            f"has no task: use dataset.split={KNOWN[split][1]}, or strategy=[] for pretraining alone"
        )
    check_labels(cfg)
    if OmegaConf.select(cfg, "evaluate.prequential") and split != "time":
        raise MetarunError(
            f"evaluate.prequential=true needs an order in time, which dataset.split={split} has not: "
            "use dataset.split=time"
        )
    for name in strategies:
        family = name.split("/")[0]
        key = f"strategy.{family}.rule.moves" if family == "adaptive" else f"strategy.{family}.moves"
        streamed = family in ("online", "adaptive") or OmegaConf.select(cfg, "evaluate.prequential")
        moves = OmegaConf.select(cfg, key)
        if moves == "all" and of_arrays(cfg):  # no tables: all is there from the start
            continue
        if streamed and moves not in (None, "head", "users" if unit == "users" else "items"):
            raise MetarunError(
                f"{key}={moves} adapts the rows of a whole task, which a stream does not know in advance: use "
                f"{key}=head" + ("" if family in ("online", "adaptive") else ", or evaluate.prequential=false")
            )


def check_labels(cfg: DictConfig) -> None:
    """Raise MetarunError where labels of known classes are to be judged, or to be few, and play no part."""
    split, labels = OmegaConf.select(cfg, "dataset.split"), OmegaConf.select(cfg, "dataset.label_share")
    pretrain = next((name for name in cfg.composed.options if name.startswith("pretrain/")), None)
    known = split in KNOWN_CLASSES
    if known and pretrain and "classifier" not in offered(pretrain):
        raise MetarunError(
            f"dataset.split={split} judges the classifier of pretraining, which {pretrain.replace('/', '=')} does not "
            "learn: use pretrain=supervised, or dataset.split=seeded"
        )
    if labels is not None and labels < 1 and not known:
        rows = "rows" if any("text" in offered(name) for name in cfg.composed.options) else "images"
        raise MetarunError(
            f"dataset.label_share={labels} is a share of the {rows} whose classes pretraining learns, and "
            f"dataset.split={split} is judged on other classes: use dataset.split={rows}, or dataset.label_share=1"
        )


def check_rows(cfg: DictConfig, strategies: Sequence[str]) -> None:
    """Raise MetarunError where a stream is not judged as one, or would be told labels before they come."""
    streams = any(IN_ORDER in offered(name) for name in cfg.composed.options if name.startswith("dataset/"))
    if not streams:
        return
    if "evaluate/stream" not in cfg.composed.options:
        raise MetarunError("rows of a stream are predicted before they are learned from: use evaluate=stream")
    labels, kind = OmegaConf.select(cfg, "dataset.labels"), judged(cfg)
    if labels is not None and (labels == "classes") != (kind == "classes"):
        fits = "cross_entropy" if labels == "classes" else "squared"
        raise MetarunError(f"dataset.labels={labels} are not what this objective is about: use objective={fits}")
    delay, opening = OmegaConf.select(cfg, "evaluate.delay"), OmegaConf.select(cfg, "dataset.opening")
    for lag in OmegaConf.select(cfg, "dataset.lags") or []:
        if delay is None or lag <= delay:
            late = "never come" if delay is None else f"come after {delay} rows"
            raise MetarunError(
                f"dataset.lags: {lag} rows back there is no label yet, for labels {late} (evaluate.delay): leave it out"
            )
    named = [*strategies, *map(str, OmegaConf.select(cfg, "evaluate.against") or [])]
    for name in named if opening == 0 and OmegaConf.select(cfg, "pipeline.rounds") == 1 else []:
        if name.startswith("meta/"):
            raise MetarunError(
                f"{name} is meta-trained on the first rows, of which dataset.opening=0 leaves none: set "
                "dataset.opening=2000 or so, or pipeline.rounds above 1 with an online or adaptive strategy before it"
            )


def of_arrays(cfg: DictConfig) -> bool:
    """Return whether rows in order are arrays of numbers."""
    chosen = [set(offered(name)) for name in cfg.composed.options if name.startswith("dataset/")]
    return any({IN_ORDER, "arrays"} <= offers for offers in chosen)


def check_sequence(cfg: DictConfig) -> None:
    """Raise MetarunError where a sequence of tasks would not be examined at the end of each."""
    if not any(EXAMINED in offered(name) for name in cfg.composed.options if name.startswith("dataset/")):
        return
    wanted = {"evaluate.delay": 0, "pipeline.rounds": 1, "evaluate.metric": "accuracy"}
    for key, value in wanted.items():
        if (found := OmegaConf.select(cfg, key)) != value:
            raise MetarunError(
                f"{key}={'null' if found is None else found}: a sequence of tasks is examined at the end of each, in "
                f"one pass: use {key}={value}"
            )


def check_devices(cfg: DictConfig) -> None:
    """Raise MetarunError where processes would have nothing to do, or nobody can say how many there are."""
    devices, nodes = OmegaConf.select(cfg, "trainer.devices"), OmegaConf.select(cfg, "trainer.nodes")
    if devices == "auto" and OmegaConf.select(cfg, "trainer.accelerator") == "cpu":
        raise MetarunError(
            "trainer.devices=auto counts GPUs, which trainer.accelerator=cpu has not: give a number of processes"
        )
    tasks = OmegaConf.select(cfg, "pipeline.meta.tasks")
    if isinstance(devices, int) and devices * nodes > tasks:
        raise MetarunError(
            f"trainer.devices={devices} on trainer.nodes={nodes} share pipeline.meta.tasks={tasks} tasks a step, less "
            "than one each: raise pipeline.meta.tasks, or lower trainer.devices"
        )


def judged(cfg: DictConfig) -> str:
    """Return what is judged, a key of METRICS, or "lists"."""
    chosen = list(cfg.composed.options)
    offers = {offer for name in chosen if name.startswith(("dataset/", "objective/")) for offer in offered(name)}
    if "classes" in offers:
        return "classes"
    if "interactions" in offers:
        return "lists"
    return "ratings" if "items" in offers else "functions"


def offered(option: str) -> tuple[str, ...]:
    """Return what an option's header offers."""
    return options.header(option).offers


def check_metric(cfg: DictConfig) -> None:
    """Raise MetarunError for a metric that does not measure what the data and the objective are about."""
    metric, kind = OmegaConf.select(cfg, "evaluate.metric"), judged(cfg)
    owner = next((kind for kind, names in METRICS.items() if metric in names), "lists")
    if owner == kind or {owner, kind} == {"ratings", "lists"}:  # the latter two are told apart by check_ranking
        return
    if kind == "lists":
        raise MetarunError(f"evaluate.metric={metric} does not measure lists: use evaluate=lists")
    raise MetarunError(
        f"evaluate.metric={metric} does not measure {kind}: use evaluate={EVALUATE[kind]}, or evaluate.metric="
        + " or ".join(METRICS[kind])
    )


def check_normalisation(cfg: DictConfig) -> None:
    """Raise MetarunError where the rows are missing that statistics are to be made of."""
    norm = OmegaConf.select(cfg, "backbone.norm")
    if norm in ("support", "query") and OmegaConf.select(cfg, "dataset.split") == "images":
        raise MetarunError(
            f"backbone.norm={norm} takes statistics of an episode, and dataset.split=images has none: use "
            "backbone.norm=group or none"
        )
    for key in ("supports", "train_shots"):
        if norm == "support" and 0 in (OmegaConf.select(cfg, f"dataset.{key}") or []):
            raise MetarunError(
                f"backbone.norm=support takes statistics of the support, of which 0 in dataset.{key} has none: use "
                "backbone.norm=group or none, or leave out 0"
            )


def check_ranking(cfg: DictConfig, strategies: Sequence[str]) -> None:
    """Raise MetarunError where ratings and interactions are mixed up."""
    if judged(cfg) in ("classes", "functions"):
        return
    ranks = "objective/ranking" in cfg.composed.options
    metric, split = OmegaConf.select(cfg, "evaluate.metric"), OmegaConf.select(cfg, "dataset.split")
    positive, candidates = (OmegaConf.select(cfg, key) for key in ("dataset.positive", "evaluate.candidates"))
    if ranks == (metric in ("rmse", "mae")):
        other = "a list: evaluate.metric=ndcg, precision, recall, map, mrr or hit" if ranks else "an error of ratings"
        raise MetarunError(
            f"evaluate.metric={metric} does not fit objective={'ranking' if ranks else 'squared'}, which is judged by "
            f"{other}" + (", or evaluate=lists" if ranks else ": evaluate.metric=rmse or mae, or objective=ranking")
        )
    if not ranks:
        for key, value in (("dataset.positive", positive), ("evaluate.candidates", candidates)):
            if value is not None:
                raise MetarunError(f"{key}={value} is for rankings: add objective=ranking, or leave it at null")
        if split == "recbole":
            raise MetarunError("dataset.split=recbole is a protocol of rankings: use +experiment=movielens_recbole")
        return
    if OmegaConf.select(cfg, "evaluate.prequential"):
        raise MetarunError("evaluate.prequential=true predicts ratings one by one, which objective=ranking does not")
    if positive is None and "dataset/movielens" in cfg.composed.options:
        raise MetarunError(
            "objective=ranking ranks interactions: say from which rating a row counts as one, dataset.positive=4, or "
            "dataset.positive=0.5 for every row"
        )
    if OmegaConf.select(cfg, "dataset.tasks") == "items":
        raise MetarunError("dataset.tasks=items ranks users for an item, which nothing judges: use dataset.tasks=users")
    for name in strategies:
        family = name.split("/")[0]
        key = f"strategy.{family}.rule.moves" if family == "adaptive" else f"strategy.{family}.moves"
        if OmegaConf.select(cfg, key) not in (None, "head", "users"):
            raise MetarunError(f"{key}={OmegaConf.select(cfg, key)} cannot be ranked: use {key}=head")
        if name in ("meta/ridge", "meta/ials") and OmegaConf.select(cfg, "strategy.meta.learns") == "all":
            raise MetarunError(
                "strategy.meta.learns=all moves the items under the sums that objective=ranking keeps of the whole "
                "catalogue: use strategy.meta.learns=head"
            )
    if split == "recbole":
        for name in OmegaConf.select(cfg, "evaluate.against") or []:
            if not str(name).startswith("baseline/"):
                raise MetarunError(
                    f"evaluate.against={name}: dataset.split=recbole judges known users by all their rows; of "
                    "strategies only those under baseline/ need no new users"
                )


def check_passes(cfg: DictConfig, strategies: Sequence[str]) -> None:
    """Keep rules that pass over the ratings of everybody and rules that adapt to tasks apart."""
    split = OmegaConf.select(cfg, "dataset.split")
    named = [("strategy", name) for name in strategies]
    named += [("evaluate.against", str(name)) for name in OmegaConf.select(cfg, "evaluate.against") or []]
    named += [("evaluate.reference", str(OmegaConf.select(cfg, "evaluate.reference")))]
    passing = [name for name in options.names("strategy") if ROWS_IN_TIME in options.header(f"strategy/{name}").needs]
    for key, name in named:
        if name in passing and split != "stream":
            raise MetarunError(
                f"{key}={name} learns from the ratings of all users in one stream, dataset.split={split} deals them "
                "out to tasks: use dataset.split=stream (metarun +experiment=movielens_online)"
            )
        if name not in passing and split == "stream":
            raise MetarunError(
                f"{key}={name} adapts to tasks, dataset.split=stream is one pass over the ratings of all users: "
                f"allowed are {', '.join(passing)} (metarun +experiment=movielens_online); or use dataset.split=time"
            )
    if split != "time" and RETRAINED in [name for _, name in named]:
        raise MetarunError(
            f"{RETRAINED} pretrains again when time has gone on, which it does not with "
            f"dataset.split={split}: use dataset.split=time, or leave it out"
        )
    rounds = OmegaConf.select(cfg, "pipeline.rounds")
    if split == "stream" and rounds != 1:
        raise MetarunError(f"pipeline.rounds={rounds}: dataset.split=stream passes once over the ratings; allowed is 1")
