"""What pruning and int8 leave of a trained backbone: python scripts/compress_table.py RUN [--shares 0.5 0.75 0.9]

RUN is the folder of a finished run on images. The smallest weights of all layers together are set to zero, a share at a
time, without training again; int8 is torch's dynamic quantisation, which knows linear layers and leaves convolutions as
they are. Prints Markdown: weights that are not zero, size of the file and of the same file deflated (dense files do not
shrink by zeros, deflated ones do), accuracy on test with its 95 % interval, milliseconds for one image and for 256
(zeros are multiplied like any number). Accuracy is that of the run's classifier where its images are split, else of
nearest class means on its test episodes.
"""

from __future__ import annotations

import argparse
import copy
import io
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import timing
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.utils import prune

from metarun import build, store
from metarun.data.few_shot_images import IMAGES
from metarun.errors import MetarunError
from metarun.evaluate import Choice, Judge
from metarun.metrics.interval import estimate
from metarun.model import Model
from metarun.results import SUMMARY, read_json
from metarun.tasks import encode

REFERENCE = "baseline/nearest_mean"
MANY = 256
Accuracies = dict[str, tuple[float, float]]


class Trained(NamedTuple):
    """A finished run: its data, its model, the classifier (D, C) of its pretraining."""

    cfg: Any
    data: Any
    model: Model
    classifier: Tensor


def trained(folder: Path) -> Trained:
    """Return what a run left; raises MetarunError where it is not finished or not on images."""
    if not (folder / SUMMARY).is_file():
        raise MetarunError(f"{folder} is no folder of a finished run: it has no {SUMMARY}; give outputs/NAME/ID")
    cfg = OmegaConf.create(read_json(folder / "manifest.json")["config"])
    OmegaConf.update(cfg, "paths.data", None, force_add=True)  # METARUN_DATA: no manifest names a folder of the machine
    data = build.dataset(cfg)
    if len(data.spec.shape) != 3:
        raise MetarunError(f"{folder} is a run on {cfg.dataset['_target_']}, which has no images: give one on images")
    kept, stages = store.Store(folder / "checkpoints"), (folder / "checkpoints").glob(f"[0-9]*/{store.MODEL}")
    names = sorted((path.parent.name for path in stages), key=store.in_order)
    source = [name for name in names if name.endswith("-pretrain")][-1]
    chain = [name.split("/")[0] for name in read_json(folder / SUMMARY)["chain"]]
    last = source if not chain else [name for name in names if name.endswith(f"-{chain[-1]}")][-1]
    model, found, before = build.model(cfg, data.spec), kept.load(last), kept.load(source)
    assert found is not None
    assert before is not None
    model.load_state_dict(found["model"])
    model.requires_grad_(False)
    return Trained(cfg, data, model, before["users"][0] if len(before["users"]) else torch.zeros(0))


def pruned(backbone: nn.Module, share: float) -> nn.Module:
    """Return a copy without the smallest weights of its layers, so many of all of them."""
    found = copy.deepcopy(backbone)
    weights = [(layer, "weight") for layer in found.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    for layer, name in weights:
        prune.remove(layer, name)
    return found


def quantised(backbone: nn.Module) -> nn.Module:
    """Return a copy whose linear layers multiply int8: weights are rounded once, activations a batch at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated for torchao, which this machine may not have
        found: nn.Module = torch.ao.quantization.quantize_dynamic(backbone, {nn.Linear}, dtype=torch.qint8)
    return found


def variants(backbone: nn.Module, shares: list[float]) -> Iterator[tuple[str, nn.Module, float]]:
    """Yield (name, backbone, share of its weights that is not zero), each share as it is and with int8."""
    for share in [0.0, *shares]:
        made = pruned(backbone, share) if share else backbone
        weights = [layer.weight for layer in made.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        left = sum(int((weight != 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
        name = f"{share:.0%} pruned" if share else "as trained"
        yield name, made, left
        if any(isinstance(layer, nn.Linear) for layer in made.modules()):
            yield f"{name}, int8", quantised(made), left


def sizes(backbone: nn.Module) -> tuple[float, float]:
    """Return (KiB of the file, KiB deflated)."""
    file = io.BytesIO()
    torch.save(backbone.state_dict(), file)
    return len(file.getvalue()) / 1024, len(zlib.compress(file.getvalue(), 9)) / 1024


def accuracies(run: Trained, backbone: nn.Module) -> Accuracies:
    """Return (accuracy, half of its 95 % interval) by what it is of."""
    if run.cfg.dataset.split == IMAGES:
        known = run.data.warm_tasks()
        x, y = known.inputs[known.user], known.label[known.user]
        out = torch.cat([backbone(part) for part in torch.split(x, MANY)]) @ run.classifier
        found = estimate((out.argmax(1) == y).double().numpy(), "accuracy")
        return {"accuracy": (found.value, found.ci95)}
    changed = copy.copy(run.model)
    changed._modules = {**run.model._modules, "backbone": backbone}
    rule = build.rule(run.cfg, REFERENCE, changed)
    parts = run.data.training_users(1, 1, everyone=rule.everyone)
    rule.prepare(encode(rule, run.data.training_task(part)) for part in parts)
    judge = Judge(run.data, metric="accuracy", validation_tasks=1, stream_rows=1, chunk=MANY, vmapped=True)
    choices = {support: Choice({}, 0.0, [], 1) for support in judge.supports}
    scores = [score for cell in judge.cells for score in judge.test(rule, REFERENCE, choices, cell)]
    return {
        f"{score.cell}, shots {score.support}": (found.value, found.ci95)
        for score in scores
        if score.metric == "accuracy"
        for found in [estimate(score.values, "accuracy")]
    }


def caller(backbone: nn.Module, x: Tensor) -> Callable[[], object]:
    """Return a call of a backbone, for the clock."""
    return lambda: backbone(x)


@torch.no_grad()
def main(words: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run on images")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.75, 0.9], help="of the weights to prune")
    parser.add_argument("--turns", type=int, default=50, help="times that each is timed")
    args = parser.parse_args(words)
    if not all(0 < share < 1 for share in args.shares):
        parser.error(f"--shares {args.shares}: each is a share of the weights between 0 and 1")
    torch.set_num_threads(1)
    try:
        run = trained(args.run)
    except MetarunError as error:
        parser.error(str(error))
    made = list(variants(run.model.backbone, args.shares))
    images = torch.from_numpy(run.data.images.inputs[:MANY])
    clocks = [
        timing.interleaved({name: caller(backbone, x) for name, backbone, _ in made}, args.turns)
        for x in (images[:1], images)
    ]
    timing.header(words or sys.argv[1:])
    rows = [(name, backbone, left, accuracies(run, backbone)) for name, backbone, left in made]
    heads = ["backbone", "weights left", "KiB", "KiB deflated", *rows[0][3], "ms, 1 image", f"ms, {len(images)} images"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, backbone, left, right in rows:
        told = [f"{100 * value:.2f} ± {100 * half:.2f} %" for value, half in right.values()]
        cells = [name, f"{left:.1%}", *(f"{size:,.1f}" for size in sizes(backbone)), *told]
        print(f"| {' | '.join(cells + [f'{1000 * clock[name]:.3f}' for clock in clocks])} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
