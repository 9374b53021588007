"""How many unseen problems a model gets right: greedy, full cache, judged by the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tokenizers import Tokenizer

from .errors import kind_of
from .generate import generate
from .model import Reasoner
from .statistics import wilson
from .tasks import FAMILIES, Problem, answer_of, ask, problem
from .tokenizer import encode

FIRST_SEED = 1_000_000_000  # training draws from streams of other names
SLOTS = 65_536  # of the cache at a time, which bounds memory
# Up to 20 moves, and up to 2 x 10: what the model has to know. The other families at their full difficulty.
LEVELS = {"cards": 0.68, "two_turn": 0.68}
# Exact sizes of long problems, about 1,500 tokens and more.
LONG = {"cards": 32, "two_turn": 15}
LENGTHS = (128, 256, 512, 1024, 1536, 2048, 3072, 4096)


@dataclass(frozen=True)
class Result:
    """One problem and what became of it."""

    family: str
    long: bool
    tokens: int  # of the right conversation
    right: bool
    flawless: bool  # to the letter, thinking included
    error: str  # of a wrong reply; empty if right


def problems(count: int, seed: int = FIRST_SEED) -> list[tuple[Problem, bool]]:
    """`count` problems a family over its levels, and as many long ones of those families that have them."""
    drawn = []
    for family in FAMILIES:
        for i in range(count):
            level = LEVELS.get(family, 1.0) * (i + 0.5) / count
            drawn.append((problem(family, level, seed + i), False))
    for family, size in LONG.items():
        drawn += [(problem(family, 1.0, seed + count + i, size), True) for i in range(count)]
    return drawn


def evaluate(
    model: Reasoner,
    tokenizer: Tokenizer,
    drawn: list[tuple[Problem, bool]],
    report: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Asks every turn of every problem, with the model's own replies before it; right is who gets all turns right."""
    ends = {tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")}
    lengths = [len(encode(tokenizer, asked.turns)[0]) for asked, _ in drawn]
    # Alike in length, so that a batch ends together.
    order = sorted(range(len(drawn)), key=lambda i: lengths[i])
    results: dict[int, Result] = {}
    began, said = time.monotonic(), time.monotonic()
    while order:
        count = max(1, min(len(order), SLOTS // lengths[order[-1]]))
        batch, order = order[-count:], order[:-count]
        for i, replies in zip(batch, _ask(model, tokenizer, [drawn[i][0] for i in batch], ends)):
            results[i] = _judge(*drawn[i], lengths[i], replies)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            left = (said - began) / len(results) * len(order) / 60
            report(f"evaluation: {len(results)} of {len(drawn)}, about {left:.0f} min left")
    return [results[i] for i in range(len(drawn))]


def _ask(model: Reasoner, tokenizer: Tokenizer, batch: list[Problem], ends: set[int]) -> list[list[str]]:
    """The replies to each problem's turns."""
    talks: list[list[int]] = [[] for _ in batch]
    replies: list[list[str]] = [[] for _ in batch]
    for turn in range(max(len(asked.turns) for asked in batch)):
        rows = [row for row, asked in enumerate(batch) if turn < len(asked.turns)]
        limits = []
        for row in rows:
            text = "\n" * (turn > 0) + ask(batch[row].turns[turn].question)
            talks[row] += tokenizer.encode(text, add_special_tokens=False).ids
            reply = batch[row].turns[turn].reply()
            # A little more than the right reply wants: whoever needs more is wrong.
            limits.append(len(tokenizer.encode(reply, add_special_tokens=False).ids) + 16)
        for row, ids in zip(rows, generate(model, [talks[row] for row in rows], limits, ends)):
            replies[row].append(tokenizer.decode(ids, skip_special_tokens=False))
            talks[row] += ids
    return replies


def _judge(asked: Problem, long: bool, tokens: int, replies: list[str]) -> Result:
    right = flawless = True
    error = ""
    for turn, reply in zip(asked.turns, replies):
        flawless = flawless and reply == turn.reply() + "<|im_end|>"
        if right and answer_of(reply) != turn.answer:
            right, error = False, kind_of(asked.family, turn.thinking, turn.answer, reply)
    return Result(asked.family, long, tokens, right, flawless, error)


def summary(results: list[Result]) -> dict:
    """Counts by family, by length and by kind of error, and the longest length that is right nine times in ten."""
    families, errors = {}, {}
    for family in FAMILIES:
        for long in (False, True):
            some = [result for result in results if result.family == family and result.long == long]
            if some:
                name = f"{family}, long" if long else family
                families[name] = _count(some)
                errors[name] = dict(Counter(result.error for result in some if result.error).most_common())
    lengths = {}
    for family in FAMILIES:
        for low, high in zip((0, *LENGTHS), LENGTHS):
            some = [r for r in results if r.family == family and low < r.tokens <= high]
            if some:
                lengths.setdefault(family, {})[f"{low + 1} to {high}"] = _count(some)
    return {"families": families, "lengths": lengths, "errors": errors, "results": [asdict(r) for r in results]}


def _count(results: list[Result]) -> dict:
    right, total = sum(result.right for result in results), len(results)
    tokens = [result.tokens for result in results]
    return {
        "right": right,
        "total": total,
        "interval": wilson(right, total),
        "flawless": sum(result.flawless for result in results),
        "mean_tokens": round(sum(tokens) / total),
        "max_tokens": max(tokens),
    }
