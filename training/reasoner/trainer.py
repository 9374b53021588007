"""The training loop: one run from its first step, or from a checkpoint, to its end or until time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from . import adapters, curriculum, data, wiring
from .base import Base
from .checkpoint import read, write
from .model import Reasoner, Shape
from .muon import Muon
from .presets import Preset
from .progress import Progress
from .tokenizer import build, numbers, words

SAVE_EVERY = 300  # seconds
LOG = "log.jsonl"


class Trainer:
    """A model with its optimisers, its averaged weights and its place in the run."""

    def __init__(self, preset: Preset, seed: int, device: torch.device, base: Base | None = None) -> None:
        self.preset, self.seed, self.device = preset, seed, device
        self.base = base.name if base else None
        if base:
            self.tokenizer, self.model = base.tokenizer, Reasoner(base.shape)
            self.model.load_state_dict(base.weights)
            if preset.rank:
                adapters.adapt(self.model, preset.rank, seed)
        else:
            self.tokenizer = build()
            self.model = Reasoner(preset.shape(self.tokenizer.get_vocab_size()))
            self.model.start(seed)
            known = numbers(self.tokenizer), words(self.tokenizer), self.tokenizer.token_to_id(":")
            wiring.wire(self.model, *known, seed)
        self.model.to(device)
        # What steps change, by name.
        self.weights = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        matrices, others = [], []
        for name, weight in self.weights.items():
            # What AdamW has made goes on with AdamW.
            (matrices if weight.dim() == 2 and "embed" not in name and not base else others).append(weight)
        adam = torch.optim.AdamW(others, preset.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
        self.optimisers = {"adam": (adam, preset.adam_lr)}
        if matrices:
            self.optimisers["muon"] = (Muon(matrices, preset.muon_lr), preset.muon_lr)
        self.steps = data.steps(preset)
        self.step = 0
        self.tokens = 0
        self.place = (0, 0)  # pool, and batch in it
        self.seconds = 0.0  # of training, over all pieces

    def run(self, out: Path, minutes: float | None, halted: Callable[[], bool] = lambda: False) -> bool:
        """Trains until the run is over, `minutes` have passed or it is halted, and saves; whether the run is over."""
        began, before, saved = time.monotonic(), self.seconds, time.monotonic()
        total = data.pools(self.preset) * data.pool_tokens(self.preset)
        progress = Progress(out / LOG, total, self.step, self.tokens)
        pool, skip = self.place
        for index, batches in enumerate(data.stream(self.preset, self.seed, self.tokenizer, pool), pool):
            for i, batch in enumerate(batches[skip:], skip):
                loss, by_kind = self.learn(batch, (index + i / len(batches)) / data.pools(self.preset))
                self.place = (index, i + 1)
                progress.step(self.step, batch.tokens, loss, by_kind)
                now = time.monotonic()
                self.seconds = before + now - began
                if now - saved > SAVE_EVERY:
                    progress.tell()  # which refuses to go on from weights that are no numbers any more
                    self.save(out)
                    saved = now
                if halted() or (minutes is not None and now - began > 60 * minutes):
                    progress.tell()
                    self.save(out)
                    return False
            self.place, skip = (index + 1, 0), 0
        progress.tell()
        self.save(out)
        return True

    def learn(self, batch: data.Batch, now: float) -> tuple[Tensor, Tensor]:
        """One step at a time of the run, 0 to 1. The loss, and its sum and count by kind, [2, kinds]."""
        rate = curriculum.rate(now, self.step, self.steps)
        for optimiser, full in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = full * rate
        ids, targets, positions, kinds = (
            torch.from_numpy(array).to(self.device)
            for array in (batch.ids, batch.targets, batch.positions, batch.kinds)
        )
        half = self.preset.dtype == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            learned = targets >= 0  # [rows, tokens]
            stream = self.model(ids, positions)[learned]  # [learned, d_model]
            each = F.cross_entropy(self.model.logits(stream), targets[learned], reduction="none")
        loss = each.mean()
        loss.backward()
        weights = list(self.weights.values())
        nn.utils.clip_grad_norm_(weights, 1.0)
        for optimiser, _ in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), weights, curriculum.forgetting(now, self.steps))
            kind = kinds[:, None].expand_as(learned)[learned]
            by_kind = torch.zeros(2, len(data.KINDS), device=self.device)
            by_kind[0].index_add_(0, kind, each)
            by_kind[1].index_add_(0, kind, torch.ones_like(each))
        self.step += 1
        self.tokens += batch.tokens
        return loss.detach(), by_kind

    def compile(self) -> None:
        """Fuses what each layer computes besides matrix products: about a sixth faster on two cores."""
        for layer in self.model.layers:
            layer.compile(dynamic=True)

    def averaged(self) -> Reasoner:
        """The model with the averaged weights, on the CPU, in float32."""
        model = Reasoner(self.model.shape)
        weights = {name: weight.cpu() for name, weight in (self.model.state_dict() | self.average).items()}
        model.load_state_dict(adapters.merged(weights))
        return model.eval()

    def save(self, out: Path) -> None:
        """Writes the checkpoint of `out`."""
        write(
            out,
            {
                "preset": asdict(self.preset),
                "seed": self.seed,
                "base": self.base,
                "shape": asdict(self.model.shape),
                "tokenizer": self.tokenizer.to_str(),
                "model": self.model.state_dict(),
                "average": self.average,
                "optimisers": {name: optimiser.state_dict() for name, (optimiser, _) in self.optimisers.items()},
                "step": self.step,
                "tokens": self.tokens,
                "place": self.place,
                "seconds": self.seconds,
            },
        )

    @classmethod
    def resumed(cls, out: Path, device: torch.device, changes: list[str] | None = None) -> Trainer:
        """From the checkpoint of `out`. Changed may be what the weights do not hang on: `workers` and `compile`."""
        fixed = [change for change in changes or [] if change.partition("=")[0] not in ("workers", "compile")]
        if fixed:
            raise ValueError(f"a run goes on with its own settings, without --set {fixed[0]}")
        state = read(out, device)
        try:
            preset = Preset(**state["preset"]).changed(changes or [])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the checkpoint in {out} is of another version: {error}") from error
        tokenizer = Tokenizer.from_str(state["tokenizer"])
        base = None
        if preset.base:
            base = Base(state["base"], Shape(**state["shape"]), tokenizer, adapters.own(state["model"]))
        trainer = cls(preset, state["seed"], device, base)
        trainer.model.load_state_dict(state["model"])
        trainer.average = state["average"]
        for name, (optimiser, _) in trainer.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name in ("step", "tokens", "seconds"):
            setattr(trainer, name, state[name])
        trainer.place = tuple(state["place"])
        return trainer
