"""Cards: people give each other things, and a parity names the card that comes next.

What the cache must hold: cards, facts of the prompt read again and again; holdings, whose newest value lies anywhere in
the thinking. A second turn deals new cards: holdings live on, the old cards are dead.
"""

from dataclasses import dataclass, fields, replace
from random import Random

from .problem import Turn
from .words import NAMES

TOP = 99  # the highest card number, and the most that anybody may hold


@dataclass(frozen=True)
class Card:
    """Who gives what to whom, and which card follows by whose holding."""

    number: int
    giver: str
    taker: str
    amount: int
    watched: str
    even: int
    odd: int

    def __str__(self) -> str:
        head = f"Card {self.number}: {self.giver} gives {self.taker} {self.amount}"
        return f"{head}; if {self.watched} even {self.even} else {self.odd}."


def draw(rng: Random, level: float, turns: int = 1, size: int | None = None, alike: float = 0.0) -> tuple[Turn, ...]:
    """3 to 6 people, 3 to 8 cards, up to 28 moves at level 1 (two turns: up to 14 each), or exactly `size` moves a
    turn. A run of exact size never comes back to where it was: such a run would repeat itself to the letter. Of the
    cards, a part `alike` says nearly what another one says, so that only the number tells which it is."""
    while True:
        people = rng.randint(3, 3 + round(3 * level * rng.random()))
        count = rng.randint(3, 3 + round(5 * level * rng.random()))
        most = most_moves(level, turns)
        have = {name: rng.randint(20, 60) for name in rng.sample(NAMES, people)}
        numbers = rng.sample(range(1, TOP + 1), count * turns)
        played: list[Turn] = []
        dealt: list[Card] = []
        for i in range(turns):
            cards = _deal(rng, list(have), numbers[i * count : (i + 1) * count], dealt, alike)
            dealt += cards.values()
            moves = size or rng.randint(max(1, most // 2) if rng.random() < 0.6 else 1, most)
            turn = _turn(rng, cards, have, moves, again=i > 0, circles=size is None)
            if turn is None:
                break
            played.append(turn)
        else:
            return tuple(played)


def most_moves(level: float, turns: int) -> int:
    """Of a turn, at a level."""
    return 3 + round(25 * level) if turns == 1 else 2 + round(12 * level)


def draw_two(rng: Random, level: float, size: int | None = None, alike: float = 0.0) -> tuple[Turn, ...]:
    """`draw` with two turns."""
    return draw(rng, level, 2, size, alike)


def _deal(rng: Random, people: list[str], numbers: list[int], dealt: list[Card], alike: float) -> dict[int, Card]:
    cards: dict[int, Card] = {}
    for number in numbers:
        giver, taker = rng.sample(people, 2)
        even, odd = rng.sample([other for other in numbers if other != number], 2)
        card = Card(number, giver, taker, rng.randint(1, 9), rng.choice(people), even, odd)
        others = [*dealt, *cards.values()]
        if alike and others and rng.random() < alike:
            card = _like(rng, card, rng.choice(others), numbers)
        cards[number] = card
    return cards


def _like(rng: Random, card: Card, other: Card, numbers: list[int]) -> Card:
    """The card with most of what another says, where it still is one of the deck."""
    same = {field.name: getattr(other, field.name) for field in fields(Card)[1:] if rng.random() < 0.75}
    if not {same.get("even"), same.get("odd")} <= {None, *numbers} - {card.number}:
        same.pop("even", None)
        same.pop("odd", None)
    like = replace(card, **same)
    return like if like.giver != like.taker and like.even != like.odd else card


def _turn(
    rng: Random, cards: dict[int, Card], have: dict[str, int], moves: int, again: bool, circles: bool
) -> Turn | None:
    """One turn, which changes `have`; None if somebody leaves 0 to 99, or the run goes in circles and must not."""
    shown = [str(card) for card in cards.values()]
    rng.shuffle(shown)
    head = "Now use these cards instead:" if again else ", ".join(f"{n} {v}" for n, v in have.items()) + "."
    number = rng.choice(list(cards))
    question = f"{head} {' '.join(shown)} Start at card {number}, play {moves} moves. Who has what?"
    lines, seen = [], set()
    for i in range(1, moves + 1):
        state = (number, *have.values())
        card = cards[number]
        gives, takes = have[card.giver], have[card.taker]
        left, got = gives - card.amount, takes + card.amount
        if left < 0 or got > TOP or (state in seen and not circles):
            return None
        seen.add(state)
        have[card.giver], have[card.taker] = left, got
        odd = have[card.watched] % 2 == 1
        number = card.odd if odd else card.even
        lines.append(
            f"Move {i} of {moves}. {card} {card.giver} {gives} - {card.amount} = {left}, "
            f"{card.taker} {takes} + {card.amount} = {got}. "
            f"{card.watched} {have[card.watched]} is {'odd' if odd else 'even'}, so card {number}."
        )
    return Turn(question, "\n".join(lines), ", ".join(f"{n} has {v}" for n, v in have.items()) + ".")
