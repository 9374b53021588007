"""Sort: take the smallest number away, again and again; only the newest line matters."""

from random import Random

from .problem import Turn
from .words import spaced


def draw(rng: Random, level: float, size: int | None = None) -> tuple[Turn, ...]:
    """3 to 14 different numbers at level 1, or exactly `size`."""
    left = rng.sample(range(100), size or rng.randint(3, 4 + round(10 * level)))
    question, lines, done = f"Sort {spaced(left)}.", [], []
    while left:
        smallest = min(left)
        left.remove(smallest)
        done.append(smallest)
        lines.append(f"Smallest {smallest}; left {spaced(left) or 'none'}; sorted {spaced(done)}.")
    return (Turn(question, "\n".join(lines), f"{spaced(done)}."),)
