"""The loop: pretrain -> adapt -> meta-update -> iterate. What is finished is not run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from metarun import build, ranks, smoke
from metarun.evaluate import Judge
from metarun.limits import used_up
from metarun.pretraining.probing import Look, look_rows, told
from metarun.rule import Batch, Rule
from metarun.stages.curve import Point, rows
from metarun.stages.fold import Online, Plan, Transfer, pooled, since
from metarun.stages.loop import fit
from metarun.stages.meta import Meta
from metarun.stages.pretrain import Pretrain, Sweeps
from metarun.store import Store, Tensors, cpu, own
from metarun.streams import start
from metarun.tasks import encode
from metarun.watch import Watch

RETRAINED = "baseline/retrained"


@dataclass
class Product:
    """What a method is judged with: the model it starts from and, where it learns, what it learned."""

    method: str | None
    model: Tensors
    rule: Tensors | None = None
    value: float = float("inf")  # the less the better: the validation metric after the stage, or its negative


@dataclass
class Pipeline:
    """The stages of one run, in order, over a store of finished ones."""

    cfg: DictConfig
    data: Any
    folder: Path
    judge: Judge
    watch: Watch = field(default_factory=Watch)
    steps: int = 0
    seconds: float = 0.0
    source: str = ""  # the stage that pretrained last
    notes: list[str] = field(default_factory=list)
    used: dict[str, tuple[int, float]] = field(default_factory=dict)  # steps and seconds of every stage
    curve: list[Point] = field(default_factory=list)  # of the stage that ran last

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "checkpoints")
        self.plain = OmegaConf.to_container(self.cfg, resolve=True)
        self.notes += smoke.warning(self.cfg)

    def run(self) -> dict[str, Product]:
        """Return what every method of the run is judged with."""
        chain = build.strategies(self.cfg)
        pretrained = self.pretrain("1-pretrain", 1, None)
        current, learned = pretrained, Product(None, pretrained)
        rounds: list[Product] = []
        for number in range(1, self.cfg.pipeline.rounds + 1):
            if not chain or (number > 1 and self.spent(number, rounds)):
                break
            if number > 1 and self.cfg.pipeline.repretrain == "each_round":
                current = self.pretrain(f"{number}-pretrain", number, current)
                # What is judged on its own must not start from what the chain of strategies has learned.
                pretrained = self.pretrain(f"own-{number}-pretrain", number, pretrained)
            current, learned = self.round(number, chain, current, learned)
            rounds.append(learned)
        best = learned if self.cfg.pipeline.patience is None else min(rounds, key=lambda p: p.value, default=learned)
        judged = self.data.cold or self.data.rated  # otherwise pretraining alone has something to be judged on
        own = [*self.cfg.evaluate.against, self.cfg.evaluate.reference, *chain] if judged else []
        alone = [method for method in dict.fromkeys(own) if method != best.method]
        products = {method: self.alone(method, pretrained) for method in alone}
        return products | ({best.method: best} if best.method else {})

    def round(self, number: int, chain: list[str], current: Tensors, learned: Product) -> tuple[Tensors, Product]:
        """Run the strategies of one round; of online and adaptive, which share a start, the better is kept."""
        rival: Product | None = None
        product = learned
        for method in chain:
            family = method.split("/")[0]
            before = learned.rule if learned.method == method and family == "meta" else None
            product = self.stage(f"{number}-{family}", method, number, current, before)
            if family == "adaptive" and any(other.startswith("online/") for other in chain):
                rival = product
                continue
            if rival is not None and rival.value < product.value:
                product = rival
            rival = None
            current = product.model
        return current, product

    def alone(self, method: str, pretrained: Tensors) -> Product:
        """Return a method's product from the pretrained model with the steps of all rounds; baselines have no stage."""
        if method == RETRAINED:
            return Product(method, self.retrained())
        if method.startswith("baseline/"):
            return Product(method, pretrained)
        return self.stage(f"own-{method.replace('/', '-')}", method, self.cfg.pipeline.rounds, pretrained, None)

    def spent(self, number: int, rounds: list[Product]) -> bool:
        """Return whether time, steps or patience are used up before a round, and note which."""
        why = used_up(self.cfg.pipeline, self.seconds, self.steps, [product.value for product in rounds])
        self.notes += [f"stopped before round {number}: {why}"] if why else []
        return why is not None

    def pretrain(self, key: str, number: int, current: Tensors | None) -> Tensors:
        """Return the pretrained model of a round, from the current one where there is one."""
        self.source = key
        found = ranks.shared(lambda: self.store.load(key)) or self.source_stage(key, number, current)
        self.count(key, found)
        return dict(found["model"])

    def source_stage(self, key: str, number: int, current: Tensors | None) -> dict[str, Any]:
        """Pretrain and return what is kept: Adam's steps by all processes, sweeps by the first."""
        model = build.model(self.cfg, self.data.spec)
        if current is not None:
            model.load_state_dict(current)
        task = build.pretraining(self.cfg, model, self.data.spec)
        if getattr(task, "epochs", None) == 0:
            fresh = {"model": cpu(model.state_dict()), "users": torch.zeros(0)}
            return ranks.shared(lambda: self.finish(key, number, "pretrain", fresh, 0, 0.0, None))
        source = self.data.source(getattr(task, "rows", 1), int(self.cfg.seed), number)
        task.begin(source.labels())
        sweeps, name = hasattr(task, "sweep"), f"pretrain, round {number}"
        steps = smoke.most(self.cfg, task.sweeps if sweeps else task.epochs * len(source))

        def left(seconds: float, looks: list[Look] | None = None) -> dict[str, Any]:
            task.finish(source.users())
            users = task.known(self.data.known_context()).detach()
            content = {"model": cpu(model.state_dict()), "users": users}
            if looks:
                self.watch.say(f"{key}, {told(looks)}")
            more = look_rows(looks or [], number, key, int(self.cfg.seed))
            return self.finish(key, number, "pretrain", content, steps, seconds, None, more)

        if sweeps:
            return ranks.shared(lambda: left(self.fit(Sweeps(task), lambda _: source, steps, key, name, clip=None)))
        there = source.to(ranks.device(self.cfg.trainer))
        stage = Pretrain(task, steps, int(self.cfg.seed), self.data.labelled())
        seconds = self.fit(stage, there.batch, steps, key, name, clip=None)
        stage.look()
        return ranks.shared(lambda: left(seconds, stage.looks))

    def retrained(self) -> Tensors:
        """Return what pretraining from scratch makes of all rows so far, done again after each round."""
        source, model = self.source, {}
        for number in range(1, self.cfg.pipeline.rounds + 1):
            model = self.pretrain(f"own-{number}-retrain", number + 1, None)  # as if before the next round
        self.source = source
        return model

    def stage(self, key: str, method: str, number: int, start: Tensors, learned: Tensors | None) -> Product:
        """Run one strategy's stage from a model, or load what it left."""
        found = ranks.shared(lambda: self.store.load(key)) or self.strategy(key, method, number, start, learned)
        self.count(key, found)
        return Product(method, dict(found["model"]), dict(found["rule"]), float(found["value"]))

    def strategy(self, key: str, method: str, number: int, start: Tensors, learned: Tensors | None) -> dict[str, Any]:
        """Run a strategy's stage and return what is kept: the meta-update by all processes, the rest by the first."""
        family = method.split("/")[0]
        if family != "meta" and ranks.world() > 1:
            return ranks.shared(lambda: self.strategy(key, method, number, start, learned))
        model = build.model(self.cfg, self.data.spec)
        model.load_state_dict(start)
        rule = build.rule(self.cfg, method, model)
        if learned is None:
            self.prepare(rule, number)
        else:
            rule.load_state_dict({**rule.state_dict(), **own(learned)})
        run, self.curve = {"meta": self.meta, "transfer": self.transfer}.get(family, self.online), []
        pools = family == "meta" or self.data.shared_labels  # else no one state can learn from the labels of all
        steps, seconds = run(key, method, number, rule) if pools else (0, 0.0)

        def left() -> dict[str, Any]:
            value = self.validate(rule)
            content = {"model": cpu(model.state_dict()), "rule": cpu(rule.state_dict()), "value": value}
            return self.finish(key, number, method, content, steps, seconds, value)

        return ranks.shared(left)

    def meta(self, key: str, method: str, number: int, rule: Rule) -> tuple[int, float]:
        """Train what the rule learns; a method on its own gets the steps of all rounds at once."""
        outer, device = self.cfg.pipeline.meta, ranks.device(self.cfg.trainer)
        steps = smoke.most(self.cfg, outer.steps * (self.cfg.pipeline.rounds if key.startswith("own-") else 1))
        tasks = self.data.train_tasks(number, self.cfg.pipeline.rounds, int(self.cfg.seed)).to(device)
        mine = ranks.part(outer.tasks)

        def batch(step: int) -> Any:
            first = step * outer.tasks
            return tasks.batch(torch.arange(first + mine.start, first + mine.stop, device=device))

        stage = Meta(rule, outer.lr, steps, self.cfg.trainer.vmap, (mine.stop - mine.start) / outer.tasks)
        return steps, self.fit(stage, batch, steps, key, f"{method}, round {number}", clip=outer.clip)

    def transfer(self, key: str, method: str, number: int, rule: Rule) -> tuple[int, float]:
        """Adapt one state on the pooled ratings of the round's users."""
        users = self.data.training_users(number, self.cfg.pipeline.rounds, since=since(key, number))
        users = users[: smoke.most(self.cfg, len(users))]

        def batch(step: int) -> Batch:
            return pooled(rule, self.data.training_task(users[step]).support)

        nobody = self.data.nobody()
        with torch.no_grad():
            stage = Transfer(rule, rule.init(nobody), method, rule.model.head.shift(nobody))
        seconds = self.fit(stage, batch, len(users), key, f"{method}, round {number}", clip=None)
        rule.model.load_state_dict({**rule.model.state_dict(), **stage.committed()})
        return len(users), seconds

    def online(self, key: str, method: str, number: int, rule: Rule) -> tuple[int, float]:
        """Let every user of the round be a stream of their own."""
        streams = self.data.streams("train", number, self.cfg.pipeline.rounds, since=since(key, number))
        with torch.no_grad():
            states = [start(rule, stream, self.cfg.trainer.vmap) for stream in streams]
            features = torch.cat([stream.context["features"] for stream in streams])
            shift = rule.model.head.shift({"features": features.mean(0)})  # it is linear in the features
        plan = Plan(rule, streams, rule.chunk or 1)
        state = torch.utils._pytree.tree_map(lambda *leaves: torch.cat(leaves), *states)
        stage = Online(rule, state, method, shift, self.cfg.trainer.vmap)
        steps = smoke.most(self.cfg, len(plan))
        seconds = self.fit(stage, plan.batch, steps, key, f"{method}, round {number}", clip=None)
        rule.model.load_state_dict({**rule.model.state_dict(), **stage.committed()})
        return steps, seconds

    def ready(self, method: str, product: Product) -> Rule:
        """Return a method's rule as it is judged: with what it learned, or prepared where it has no stage."""
        model = build.model(self.cfg, self.data.spec)
        model.load_state_dict(product.model)
        rule = build.rule(self.cfg, method, model)
        if product.rule is None:
            self.prepare(rule, self.cfg.pipeline.rounds)
        else:
            rule.load_state_dict(product.rule)
        rule.requires_grad_(False)
        return rule

    def prepare(self, rule: Rule, number: int) -> None:
        """Let a rule estimate its constants from the training users of a round."""

        def batches() -> Any:
            for users in self.data.training_users(number, self.cfg.pipeline.rounds, everyone=rule.everyone):
                task = self.data.training_task(users)
                yield encode(rule, task) if rule.sees == "features" else task

        with torch.no_grad():
            rule.prepare(batches())

    def validate(self, rule: Rule) -> float:
        """Return the validation metric at the values of the config, as the mean over support sizes."""
        if not self.judge.cells:
            return float("inf")
        tasks, supports = self.judge.validating(rule), self.judge.supports
        return sum(self.judge.validation(rule, support, tasks) for support in supports) / len(supports)

    def fit(self, stage: Any, batch: Any, steps: int, key: str, name: str, clip: float | None) -> float:
        """Run a stage's loop."""
        seconds = fit(
            stage, batch, steps, self.store.place(key), name,
            trainer=self.cfg.trainer, save_every=self.cfg.pipeline.save_every,
            save_minutes=self.cfg.pipeline.save_minutes, clip=clip,
            callbacks=self.watch.follow(key, name.split(",")[0], steps),
        )  # fmt: skip
        self.curve = stage.curve.gather()
        return seconds

    def finish(
        self, key: str, number: int, method: str, content: Any, steps: int, seconds: float, value: float | None,
        more: Sequence[dict[str, Any]] = (),
    ) -> dict[str, Any]:  # fmt: skip
        """Keep what a stage leaves, with its curve and its line of metrics, and more of them."""
        users, cell = None if value is None else self.judge.validation_users(), (self.judge.cells or ["user-cold"])[0]
        row = {
            "round": number, "stage": key, "split": "validation", "protocol": self.judge.protocol.name,
            "method": method, "cell": cell, "support": None, "step": steps, "metric": self.judge.metric,
            "value": self.judge.sign * value if value is not None and value < float("inf") else None,
            "ci95": None, "n": users, "seed": int(self.cfg.seed), "params": None,
        }  # fmt: skip
        kept: dict[str, Any] = {**content, "steps": steps, "seconds": seconds, "config": self.plain}
        if row["value"] is not None:
            self.watch.validated(key, steps, self.judge.metric, row["value"])
        self.store.save(key, kept, [*rows(self.curve, number, key, method, int(self.cfg.seed)), *more, row])
        self.watch.say(f"{key} ({method}): {steps} steps in {seconds:.1f} s{self.judge.told(value, ', validation ')}")
        return kept

    def count(self, key: str, found: dict[str, Any]) -> None:
        """Add a finished stage to what the run has used."""
        self.used[key] = (found["steps"], found["seconds"])
        self.steps += found["steps"]
        self.seconds += found["seconds"]
        self.watch.passed(key, self.judge.told(found.get("value")))
