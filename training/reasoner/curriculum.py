"""What is learned when: short problems first, look-ups and comparisons before everything else."""

from dataclasses import dataclass
from random import Random

from .tasks.cards import most_moves

# Parts of the tokens, not of the problems: a share by problems leaves the families with short chains a few percent.
SHARES = {"cards": 0.22, "two_turn": 0.24, "days": 0.14, "sort": 0.13, "rooms": 0.13, "recipes": 0.14}
# Cards that say nearly what another one says, which drawn decks seldom have: families that have decks, the part of
# these decks, and of the cards of such a deck.
CARDS, ALIKE_DECKS, ALIKE = ("cards", "two_turn"), 0.5, 0.4


@dataclass(frozen=True)
class Stage:
    """Settings at one time of a run."""

    level: float  # of the hardest problems, but for the stretched ones
    stretched: float  # part of the problems that go beyond level 1
    longest: float  # part of the longest problem that fits
    drills: float  # part of the tokens
    jumps: float  # part of the problems that have jumps in their positions
    batch: float  # part of a whole batch


def stage(time: float) -> Stage:
    """The stage at a time, 0 to 1, of a run."""
    return Stage(
        level=0.03 + 0.97 * min(1.0, max(0.0, (time - 0.12) / 0.4)),
        stretched=0.15 if time > 0.52 else 0.0,
        longest=0.22 if time < 0.15 else 0.45 if time < 0.35 else 1.0,
        drills=0.4 if time < 0.12 else 0.2 if time < 0.35 else 0.03,
        jumps=0.15 if time > 0.12 else 0.0,
        batch=0.5 if time < 0.5 else 1.0,
    )


def difficulty(rng: Random, family: str, now: Stage, stretch: float) -> tuple[float, int | None]:
    """The level of one problem, and an exact size if it has one."""
    if rng.random() < now.stretched:
        turns = {"cards": 1, "two_turn": 2}.get(family)
        if turns is None:
            return rng.uniform(1.0, stretch), None
        # By level alone long runs are rare, as few stay within 0 to 99 and the others are drawn again.
        return 1.0, rng.randint(most_moves(0.5, turns), most_moves(stretch, turns))
    # Mostly below the hardest, with more weight on the upper half.
    return now.level * (rng.random() ** 0.5 if rng.random() < 0.85 else 1.0), None


def rate(time: float, step: int, steps: int) -> float:
    """Part of the full learning rate: up over 60 steps, of a short run over a twentieth, level, then down to a
    hundredth."""
    up = min(60.0, steps / 20)
    return min(1.0, (step + 1) / up) * (1.0 if time < 0.6 else max(0.01, (1 - time) / 0.4))


def forgetting(time: float, steps: int) -> float:
    """How fast the averaged weights follow the newest: faster in runs of few steps, so that they do not lag behind."""
    return min(1.0, (0.01 if time < 0.9 else 0.004) * max(1.0, 6000 / steps))
