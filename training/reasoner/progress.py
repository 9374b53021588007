"""Lines that say how a run goes, for people and, as JSON, for programs."""

import json
import math
import time
from pathlib import Path

from torch import Tensor

from .data import KINDS

EVERY = 20.0  # seconds


class Progress:
    """Collects steps and prints a line now and then."""

    def __init__(self, log: Path, total: int, step: int, tokens: int) -> None:
        """Goes on from a step; what a run that was cut off had noted of later ones is taken out of the log."""
        self.log, self.total, self.at, self.tokens = log, total, step, tokens
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
            log.write_text("".join(f"{line}\n" for line in lines))
        self._clear()

    def _clear(self) -> None:
        self.began, self.fresh, self.loss, self.by_kind, self.steps = time.monotonic(), 0, 0.0, 0.0, 0

    def step(self, step: int, tokens: int, loss: Tensor, by_kind: Tensor) -> None:
        """Notes a step: tokens without padding; by_kind: [2, kinds], summed losses and counts."""
        self.at = step
        self.tokens += tokens
        self.fresh += tokens
        self.loss = self.loss + loss
        self.by_kind = self.by_kind + by_kind
        self.steps += 1
        if time.monotonic() - self.began >= EVERY:
            self.tell()

    def tell(self) -> None:
        """A line about the steps since the last one."""
        if self.steps == 0:
            return
        spent = time.monotonic() - self.began
        rate = self.fresh / spent
        sums, counts = self.by_kind.tolist()
        losses = {kind: round(s / n, 5) for kind, s, n in zip(KINDS, sums, counts) if n}
        loss = float(self.loss) / self.steps
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} by step {self.at}: --resume goes on from the last checkpoint")
        line = {"step": self.at, "tokens": self.tokens, "loss": round(loss, 5), "by_kind": losses, "rate": round(rate)}
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        left = max(0.0, self.total - self.tokens) / rate / 60
        kinds = " ".join(f"{kind} {loss:.3f}" for kind, loss in losses.items())
        print(
            f"{100 * self.tokens / self.total:5.1f} %  step {self.at}  loss {loss:.4f}  ({kinds})  "
            f"{rate:.0f} tokens/s  {left:.0f} min left",
            flush=True,
        )
        self._clear()
