"""Batches of problems: a pure function of preset, seed and place in the run, so that a run can go on anywhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from random import Random
from threading import Thread

import numpy as np
from tokenizers import Tokenizer

from .curriculum import ALIKE, ALIKE_DECKS, CARDS, SHARES, Stage, difficulty, stage
from .drills import Drills
from .presets import Preset
from .tasks import draw
from .tokenizer import encode

POOL = 16  # batches drawn together, sorted by length and then cut
TRIES = 2000  # to draw a problem that is not too long
NOTHING = -1  # a target that is not learned
KINDS = [*SHARES, "drills"]


@dataclass(frozen=True)
class Batch:
    """Problems of similar length, one a row; nothing is packed, so nobody sees another's problem."""

    ids: np.ndarray  # [rows, tokens], padded with 0
    targets: np.ndarray  # [rows, tokens], the next id, or NOTHING
    positions: np.ndarray  # [rows, tokens]
    kinds: np.ndarray  # [rows], indices into KINDS
    tokens: int  # without padding


@dataclass(frozen=True)
class Example:
    kind: str
    ids: list[int]
    learned: list[bool]


def pool_tokens(preset: Preset) -> int:
    """Tokens of a pool."""
    return POOL * preset.batch


def pools(preset: Preset) -> int:
    """How many pools a run has."""
    return max(1, round(preset.tokens / pool_tokens(preset)))


def steps(preset: Preset) -> int:
    """How many steps a run has, about: twice as many in its first half, where batches are half as large."""
    return max(1, round(1.5 * preset.tokens / preset.batch))


class Source:
    """Draws pools. One run has one tokenizer and one seed."""

    def __init__(self, preset: Preset, seed: int, tokenizer: Tokenizer) -> None:
        self.preset, self.seed, self.tokenizer = preset, seed, tokenizer
        # Drills are for what a model from scratch cannot do, and made of its tokens.
        self.drills = None if preset.base else Drills(tokenizer)

    def pool(self, index: int) -> list[Batch]:
        """The batches of a pool, in the order in which they are learned."""
        now = stage(index / pools(self.preset))
        rng = Random(f"{self.seed}-{index}")
        examples = sorted(self._examples(rng, now), key=lambda example: len(example.ids))
        room = int(self.preset.batch * now.batch)
        rows, groups = [], []
        for example in examples:
            if rows and len(example.ids) * (len(rows) + 1) > room:
                groups.append(rows)
                rows = []
            rows.append(example)
        groups.append(rows)
        rng.shuffle(groups)
        return [self._batch(rng, now, group) for group in groups]

    def _examples(self, rng: Random, now: Stage) -> list[Example]:
        """A pool's worth; each is of the kind that is furthest behind its share of the tokens."""
        drills = now.drills if self.drills else 0.0
        shares = {kind: (1 - drills) * share for kind, share in SHARES.items()}
        if self.drills:
            shares["drills"] = drills
        # A random head start, so that long problems, which overshoot, do not come out more often over the pools.
        have = {kind: rng.uniform(0, 1024) for kind in shares}
        most = int(self.preset.longest * now.longest)
        examples, total, refused = [], 0, 0
        while total < pool_tokens(self.preset):
            kind = min(shares, key=lambda kind: have[kind] / shares[kind])
            if kind == "drills":
                ids, learned = self.drills.draw(rng)
            else:
                more = {"alike": ALIKE} if kind in CARDS and rng.random() < ALIKE_DECKS else {}
                problem = draw(rng, kind, *difficulty(rng, kind, now, self.preset.stretch), **more)
                ids, learned = encode(self.tokenizer, problem.turns)
            if len(ids) <= most:
                examples.append(Example(kind, ids, learned))
                have[kind] += len(ids)
                total += len(ids)
                refused = 0
                continue
            refused += 1
            if refused == TRIES:
                raise ValueError(f"no {kind} of {most} tokens or fewer after {TRIES} tries: set longest higher")
        return examples

    def _batch(self, rng: Random, now: Stage, examples: list[Example]) -> Batch:
        rows, tokens = len(examples), max(len(example.ids) for example in examples)
        ids = np.zeros((rows, tokens), np.int64)
        targets = np.full((rows, tokens), NOTHING, np.int64)
        positions = np.tile(np.arange(tokens), (rows, 1))
        for row, example in enumerate(examples):
            length = len(example.ids)
            ids[row, :length] = example.ids
            learned = np.array(example.learned[1:])
            targets[row, : length - 1] = np.where(learned, example.ids[1:], NOTHING)
            if rng.random() < now.jumps:
                # Two jumps within the positions that the model is made for: distances of long chains at the price of
                # short ones.
                for part in (0.7, 0.3):
                    positions[row, rng.randrange(1, length) :] += int(
                        rng.random() * part * (self.preset.max_positions - tokens)
                    )
        kinds = np.array([KINDS.index(example.kind) for example in examples])
        return Batch(ids, targets, positions, kinds, sum(len(example.ids) for example in examples))


def stream(preset: Preset, seed: int, tokenizer: Tokenizer, start: int) -> Iterator[list[Batch]]:
    """Pools from `start` to the end of the run, made ahead by other processes if the preset has workers."""
    indices = range(start, pools(preset))
    if preset.workers == 0:
        yield from map(Source(preset, seed, tokenizer).pool, indices)
        return
    workers = ProcessPoolExecutor(preset.workers, get_context("spawn"), _begin, (preset, seed, tokenizer))
    try:
        ahead = 2 * preset.workers
        waiting = [workers.submit(_pool, index) for index in indices[:ahead]]
        for index in indices:
            yield waiting.pop(0).result()
            if index + ahead < indices.stop:
                waiting.append(workers.submit(_pool, index + ahead))
    finally:
        workers.shutdown(cancel_futures=True)


def _begin(preset: Preset, seed: int, tokenizer: Tokenizer) -> None:
    global _source
    _source = Source(preset, seed, tokenizer)
    # Ctrl-C is for the run, which ends its workers; a run that is killed takes them along.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _pool(index: int) -> list[Batch]:
    return _source.pool(index)
