"""How many unseen problems a model gets right: greedy, full cache, judged by the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from tokenizers import Tokenizer

from .errors import kind_of
from .generate import generate
from .model import Reasoner
from .presets import Preset
from .statistics import wilson
from .tasks import FAMILIES, Problem, answer_of, ask, problem
from .tasks.cards import most_moves
from .tokenizer import encode

FIRST_SEED = 1_000_000_000  # training draws from streams of other names
SLOTS = 65_536  # of the cache at a time, which bounds memory
SPARE = 16  # tokens of a reply beyond the right one's; whoever needs more is wrong
# Up to 20 moves, and up to 2 x 10: what the model has to know. The other families at their full difficulty.
LEVELS = {"cards": 0.68, "two_turn": 0.68}
# What the first embedded model was asked: as many of each level.
FIRST_LEVELS = {"two_turn": (0.4,), **dict.fromkeys(("cards", "days", "sort", "rooms"), (0.1, 0.3, 0.5, 0.8))}
AT_LEAST = 50  # problems of a group by length


@dataclass(frozen=True)
class Asked:
    """A problem, and what it is asked for: `main`, `long`, or `first`, which compares with the first embedded model."""

    key: str
    group: str
    problem: Problem
    tokens: int  # of the right conversation


@dataclass(frozen=True)
class Result:
    """One problem and what became of it."""

    key: str
    family: str
    group: str
    level: float
    tokens: int  # of the right conversation
    right: bool
    flawless: bool  # to the letter, thinking included
    error: str  # of a wrong reply; empty if right


@dataclass
class Known:
    """Results that are there already, and where new ones are told."""

    results: dict[str, Result] = field(default_factory=dict)  # by key
    note: Callable[[Result], None] = lambda result: None


def problems(count: int, preset: Preset, tokenizer: Tokenizer) -> list[Asked]:
    """`count` problems a family, their levels spread evenly from the easiest to the hardest; beyond those as many long
    ones of cards and a third of the other families, up to the longest that the preset trains; and those that compare
    with the first model, if the preset starts from scratch."""
    drawn = []

    def add(group: str, family: str, level: float, size: int | None = None) -> None:
        place = len(drawn)
        asked = problem(family, level, FIRST_SEED + place, size)
        tokens = len(encode(tokenizer, asked.turns)[0])
        drawn.append(Asked(f"{place}-{group}-{family}-{level:.4f}-{size or 0}", group, asked, tokens))

    for family in FAMILIES:
        for i in range(count):
            add("main", family, LEVELS.get(family, 1.0) * (i + 0.5) / count)
    for family in FAMILIES:
        sizes = _long_sizes(family, preset)
        some = count if sizes else max(1, count // 3)
        for i in range(some):
            if sizes:
                add("long", family, 1.0, sizes[i * len(sizes) // some])
            else:
                add("long", family, 1.0 + (preset.stretch - 1.0) * (i + 0.5) / some)
    if not preset.base:
        for family, levels in FIRST_LEVELS.items():
            for i in range(max(1, count // 3)):
                add("first", family, levels[i % len(levels)])
    most = min(preset.longest, preset.max_positions - 2 * SPARE)
    return [asked for asked in drawn if asked.tokens <= most]


def _long_sizes(family: str, preset: Preset) -> list[int]:
    """Moves a turn, four numbers of them from what is asked in any case to the most that training draws."""
    turns = {"cards": 1, "two_turn": 2}.get(family)
    if turns is None:
        return []
    low, high = most_moves(LEVELS[family], turns), most_moves(preset.stretch, turns)
    return sorted({low + (high - low) * k // 4 for k in range(1, 5)})


def evaluate(
    model: Reasoner,
    tokenizer: Tokenizer,
    drawn: list[Asked],
    report: Callable[[str], None] = lambda text: None,
    known: Known | None = None,
) -> list[Result]:
    """Asks every turn of every problem, with the model's own replies before it; right is who gets all turns right."""
    known = known or Known()
    ends = {tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")}
    # Alike in length, so that a batch ends together.
    order = sorted((asked for asked in drawn if asked.key not in known.results), key=lambda asked: asked.tokens)
    began = said = time.monotonic()
    work, done = sum(asked.tokens for asked in order), 0
    while order:
        count = max(1, min(len(order), SLOTS // order[-1].tokens))
        batch, order = order[-count:], order[:-count]
        for asked, replies in zip(batch, _ask(model, tokenizer, [asked.problem for asked in batch], ends)):
            known.results[asked.key] = result = _judge(asked, replies)
            known.note(result)
        done += sum(asked.tokens for asked in batch)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            left = (said - began) * (work - done) / done / 60
            report(f"evaluation: {len(known.results)} of {len(drawn)}, about {left:.0f} min left")
    return [known.results[asked.key] for asked in drawn]


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
            limits.append(len(tokenizer.encode(reply, add_special_tokens=False).ids) + SPARE)
        for row, ids in zip(rows, generate(model, [talks[row] for row in rows], limits, ends)):
            replies[row].append(tokenizer.decode(ids, skip_special_tokens=False))
            talks[row] += ids
    return replies


def _judge(asked: Asked, replies: list[str]) -> Result:
    family = asked.problem.family
    right = flawless = True
    error = ""
    for turn, reply in zip(asked.problem.turns, replies):
        flawless = flawless and reply == turn.reply() + "<|im_end|>"
        if right and answer_of(reply) != turn.answer:
            right, error = False, kind_of(family, turn.thinking, turn.answer, reply)
    return Result(asked.key, family, asked.group, asked.problem.level, asked.tokens, right, flawless, error)


def summary(results: list[Result]) -> dict:
    """Counts by family, by length and by kind of error, and of the problems that the first model was asked."""
    families, errors, lengths, first = {}, {}, {}, {}
    for family in FAMILIES:
        of = {group: [r for r in results if r.family == family and r.group == group] for group in ("main", "long")}
        for group, some in of.items():
            if some:
                name = f"{family}, long" if group == "long" else family
                families[name] = _count(some)
                errors[name] = dict(Counter(r.error for r in some if r.error).most_common())
        middle = LEVELS.get(family, 1.0) / 2
        if upper := [r for r in of["main"] if r.level >= middle]:
            families[family]["upper_half"] = _count(upper)
        lengths[family] = by_length(of["main"] + of["long"])
        if compared := [r for r in results if r.family == family and r.group == "first"]:
            first[family] = _count(compared)
    return {
        "families": families,
        "lengths": lengths,
        "errors": errors,
        "first": first,
        "results": [asdict(r) for r in results],
    }


def by_length(results: list[Result]) -> list[dict]:
    """Counts of groups of about as many problems, at least `AT_LEAST`, from the shortest to the longest."""
    ordered = sorted(results, key=lambda r: r.tokens)
    groups = max(1, len(ordered) // AT_LEAST)
    cuts = [len(ordered) * k // groups for k in range(groups + 1)]
    return [_count(ordered[low:high]) for low, high in zip(cuts, cuts[1:]) if low < high]


def _count(results: list[Result]) -> dict:
    right, total = sum(result.right for result in results), len(results)
    tokens = [result.tokens for result in results]
    return {
        "right": right,
        "total": total,
        "interval": wilson(right, total),
        "flawless": sum(result.flawless for result in results),
        "min_tokens": min(tokens),
        "mean_tokens": round(sum(tokens) / total),
        "max_tokens": max(tokens),
    }
