"""Recipes: backward chaining. What a thing costs hangs on two others, and theirs on others still.

The goals that are open form a stack: each is named once, when the next one is opened ("I need egg for pie."), lies cold
while everything below it is worked out, and is read again when that is done ("Back to pie."). A thing that several
recipes use is worked out once and looked up later; so the prompt does not tell for whom it was needed, only the
thinking does.
"""

from collections.abc import Sequence
from random import Random

from .problem import Turn
from .words import FOODS

LEAVES = 8  # different things with a price, at most
REACH = 3  # a recipe hangs on one of so many before it, which makes deep stacks
SHARED = 0.25  # of the places left over, how many name a recipe that stands elsewhere too
TOP = 99
MOST = len(FOODS) - LEAVES  # recipes


def draw(rng: Random, level: float, size: int | None = None) -> tuple[Turn, ...]:
    """1 to 11 recipes at level 1, or exactly `size` of them, `MOST` at most."""
    while True:
        made = _made(rng, size or rng.randint(1, min(MOST, 2 + round(9 * level))))
        goal = next(iter(made))
        leaves = {food for pair in made.values() for food in pair if food not in made}
        prices = {food: rng.randint(1, 9) for food in sorted(leaves)}
        lines = _work(goal, made, dict(prices))
        if lines is not None:
            break
    facts = [recipe(food, made[food]) for food in made] + [price(food, prices) for food in prices]
    rng.shuffle(facts)
    question = f"{' '.join(facts)} What does {goal} cost?"
    answer = lines[-1][lines[-1].rindex(goal.capitalize()) :]
    return (Turn(question, "\n".join(lines), answer),)


def _made(rng: Random, count: int) -> dict[str, tuple[str, str]]:
    """What is made of which two; the goal comes first."""
    foods = rng.sample(FOODS, count + min(LEAVES, count + 1))
    made, bought = foods[:count], foods[count:]
    parts: list[list[str]] = [[] for _ in made]
    for i in range(1, count):
        near = [place for place in range(max(0, i - REACH), i) if len(parts[place]) < 2]
        parts[rng.choice(near)].append(made[i])
    for i, pair in enumerate(parts):
        while len(pair) < 2:
            # Only recipes further on, so that nothing is made of itself.
            pool = made[i + 1 :] if rng.random() < SHARED else bought
            pair.append(rng.choice([food for food in pool if food not in pair] or bought))
        if pair[0] == pair[1]:
            return _made(rng, count)
        rng.shuffle(pair)
    return {food: (pair[0], pair[1]) for food, pair in zip(made, parts)}


def recipe(food: str, parts: Sequence[str]) -> str:
    """How it is said what something is made of."""
    return f"{food.capitalize()} is {parts[0]} plus {parts[1]}."


def price(food: str, known: dict[str, int]) -> str:
    """How it is said what something costs."""
    return f"{food.capitalize()} costs {known[food]}."


def visit(food: str, parts: Sequence[str], known: dict[str, int]) -> tuple[str, str | None] | None:
    """What is said of a goal after its recipe, and the part that is needed next: what is known of its parts up to the
    first that is not; or the sum, which is known from then on, and no part. None if that is more than 99."""
    text = ""
    for part in parts:
        if part not in known:
            return f"{text} I need {part} for {food}.", part
        text += f" {price(part, known)}"
    a, b = (known[part] for part in parts)
    if a + b > TOP:
        return None
    known[food] = a + b
    return f"{text} {a} + {b} = {a + b}. {price(food, known)}", None


def _work(goal: str, made: dict[str, tuple[str, str]], known: dict[str, int]) -> list[str] | None:
    """The lines of thought, which add to `known`; None if something costs more than 99."""
    lines, stack = [], [goal]
    opening = f"I need {goal}. "
    while stack:
        food = stack[-1]
        said = visit(food, made[food], known)
        if said is None:
            return None
        text, needed = said
        line = f"{opening}{recipe(food, made[food])}{text}"
        opening = ""
        if needed:
            stack.append(needed)
        else:
            stack.pop()
            line += f" Back to {stack[-1]}." if stack else ""
        lines.append(line)
    return lines
