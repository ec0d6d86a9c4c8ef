"""From answers.ckpt back to an update rule, on a machine that may not trust who made the file.

The file is read without running code (weights_only). A class that it names must be a module of a package that
*this* process trusts: metarun, torch, or what METARUN_TRUST names on the shell. The file cannot widen that.
"""

from __future__ import annotations

import functools
import importlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metarun.answers.packed import unpack
from metarun.errors import MetarunError
from metarun.model import Model, Spec
from metarun.rule import Rule
from metarun.trust import check_home, check_target

FORMAT = 1


def read(path: Path, what: str = "answers") -> dict[str, Any]:
    """Return the content of a file of answers or of people.

    Raises:
        MetarunError: it cannot be read, holds code, is something else, or was written by another version.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path):
            raise MetarunError(f"cannot read {path}: it is damaged, or no file of metarun") from None
        raise MetarunError(
            f"{path} holds more than values and tensors: it is not read, for reading could run code"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError, LookupError) as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise MetarunError(f"cannot read {path}: {reason}") from None
    if not isinstance(found, dict) or "format" not in found or found.get("holds", "answers") != what:
        raise MetarunError(f"{path} holds no {what} of metarun")
    if found["format"] != FORMAT:
        again = "run the experiment again with resume=never" if what != "people" else "remove it and update again"
        raise MetarunError(
            f"{path} was written by another version of metarun (format {found['format']}, this one reads {FORMAT}): "
            f"{again}"
        )
    return found


def rule(content: dict[str, Any], path: Path) -> Rule:
    """Return the update rule that a file of answers describes, ready to adapt.

    Raises:
        MetarunError: it names a class that is not trusted or not there, or its tensors do not fit.
    """
    try:
        nodes, told = content["nodes"], content["spec"]
        tables = {name: unpack(table) for name, table in told["tables"].items()}
        spec = Spec(told["sizes"], tables, told["context"], told["outputs"], **told.get("arrays", {}))
        state = {name: unpack(tensor) for name, tensor in content["rule"].items()}
        with torch.random.fork_rng(devices=[]):
            backbone = make(nodes["backbone"], "backbone", spec=spec)
            head = make(nodes["head"], "head", backbone=backbone, spec=spec)
            objective = make(nodes["objective"], "objective")
            model = Model(backbone, head, objective, spec)
            built: Rule = make(nodes["strategy"], "strategy", model=model)
        resize(built, state)
        built.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MetarunError(
            f"{path} does not fit this version of metarun ({content.get('metarun')}): {reason}"
        ) from error
    built.requires_grad_(False)
    return built.eval()


def resize(built: nn.Module, tensors: dict[str, Any]) -> None:
    """Give buffers whose length the data decides the length that they were saved with."""
    for name, buffer in list(built.named_buffers()):
        saved = tensors.get(name)
        if saved is not None and saved.shape != buffer.shape:
            owner, _, last = name.rpartition(".")
            setattr(built.get_submodule(owner), last, torch.empty_like(saved))


def make(node: Any, key: str, **runtime: Any) -> Any:
    """Return the object that a node describes; nodes inside it become objects first."""
    values = {
        name: value(part, f"{key}.{name}") for name, part in node.items() if name not in ("_target_", "_partial_")
    }
    return located(key, node.get("_target_"))(**values, **runtime)


def value(part: Any, key: str) -> Any:
    """Return a field's value: itself, or for a node the object, or its maker where the node is `_partial_`."""
    if isinstance(part, list):
        return [value(one, key) for one in part]
    if not isinstance(part, dict):
        return part
    if "_target_" not in part:
        return {name: value(one, f"{key}.{name}") for name, one in part.items()}
    return functools.partial(make, part, key) if part.get("_partial_") else make(part, key)


def located(key: str, target: Any) -> type[nn.Module]:
    """Return the module class that a `_target_` names; raises MetarunError where it is not a trusted one.

    The name alone would not do: torch.serialization.os.system begins with torch too.
    """
    check_target(f"{key}._target_", target)
    home, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError):
        raise MetarunError(
            f"{key}._target_={target}: there is no such class here; install the package it comes from"
        ) from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise MetarunError(f"{key}._target_={target}: answers are built from torch modules only, and this is none")
    check_home(f"{key}._target_", str(target), found)
    return found
