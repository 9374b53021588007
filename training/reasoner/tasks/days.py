"""Days: three dishes built on each other, a price list for each day, and a running best.

Each line says which way it is compared and what with, so that every word hangs on words nearby or on one look-up.
"""

from random import Random

from .problem import Turn
from .words import DISHES, ITEMS


def draw(rng: Random, level: float, size: int | None = None) -> tuple[Turn, ...]:
    """2 to 12 days at level 1, or exactly `size`."""
    base, middle, last = rng.sample(ITEMS, 3)
    first, second, third = rng.sample(DISHES, 3)
    days = size or rng.randint(2, 3 + round(9 * level))
    extra = rng.randint(1, 9)
    asked = rng.choice(["cheapest", "dearest"])
    recipes = [
        f"{first} costs {base} plus {extra}.",
        f"{second} costs {first.lower()} plus {middle}.",
        f"{third} costs {second.lower()} plus {last}.",
    ]
    rng.shuffle(recipes)
    prices, lines, best = [], [], (0, 0)  # the best day and its total
    for day in range(1, days + 1):
        a, b, c = rng.randint(1, 29), rng.randint(1, 9), rng.randint(1, 9)
        one, two, total = a + extra, a + extra + b, a + extra + b + c
        line = f"Day {day}: {base} {a}, {middle} {b}, {last} {c}. {first} is {a} + {extra} = {one}. "
        line += f"{second} is {one} + {b} = {two}. {third} is {two} + {c} = {total}. "
        verdict = "less" if total < best[1] else "more" if total > best[1] else "same"
        if day > 1:
            line += f"{total} against {best[1]}: {verdict}. "
        # Of equal days the earliest stays the best.
        if day == 1 or verdict == ("less" if asked == "cheapest" else "more"):
            best = (day, total)
        prices.append(f"Day {day}: {base} {a} {middle} {b} {last} {c}.")
        lines.append(line + f"{asked.capitalize()} so far: day {best[0]} with {best[1]}.")
    question = f"{' '.join(recipes)} {' '.join(prices)} Which day is {third.lower()} {asked}?"
    return (Turn(question, "\n".join(lines), f"Day {best[0]}."),)
