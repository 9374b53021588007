"""Seeded bookkeeping problems, each with its one right chain of thought."""

from random import Random

from . import cards, days, recipes, rooms, sort
from .problem import Problem, Turn, answer_of, ask, render

__all__ = ["FAMILIES", "Problem", "Turn", "answer_of", "ask", "draw", "problem", "render"]

# Each draws the turns of a problem from a random stream, a level and, if wanted, an exact size.
FAMILIES = {
    "cards": cards.draw,
    "two_turn": cards.draw_two,
    "days": days.draw,
    "sort": sort.draw,
    "rooms": rooms.draw,
    "recipes": recipes.draw,
}


def draw(rng: Random, family: str, level: float, size: int | None = None, **more: float) -> Problem:
    """A problem from the stream `rng`. Levels run from 0 to 1; higher ones go on in the same way and are longer. `more`
    is what the family's own `draw` takes."""
    return Problem(family, level, FAMILIES[family](rng, level, size=size, **more))


def problem(family: str, level: float, seed: int, size: int | None = None) -> Problem:
    """The problem of a family, level and seed."""
    return draw(Random(f"{family}-{seed}"), family, level, size)
