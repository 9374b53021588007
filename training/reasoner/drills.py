"""Drills: skills on their own, in a few tokens each, before and beside the problems that need them."""

from random import Random

from tokenizers import Tokenizer

from .tasks import cards, recipes
from .tasks.words import FOODS, NAMES
from .tokenizer import encode_pieces, words

Example = tuple[list[int], list[bool]]  # ids, and which of them are to be learned


class Drills:
    """Draws drills in the tokens of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.keys = [tokenizer.token_to_id(f"Ġ{n}") for n in range(100)]
        self.tokens = sorted(words(tokenizer))

    def draw(self, rng: Random) -> Example:
        """One of the kinds; those that are nearest to problems are drawn twice as often."""
        kinds = (self.recall, self.compare, self.ledger, self.shop)
        return rng.choices(kinds, (1, 1, 2, 2))[0](rng)

    def recall(self, rng: Random) -> Example:
        """Spans of any words behind keys, then the same keys in another order: each span is to be said again."""
        keys = rng.sample(self.keys, rng.randint(2, 8))
        spans = {key: rng.choices(self.tokens, k=rng.randint(1, 8)) for key in keys}
        asked = rng.choices(keys, k=rng.randint(len(keys), 2 * len(keys) + 4))
        ids, learned = [], []
        for i, key in enumerate(keys + asked):
            ids += [key, *spans[key]]
            learned += [False] + [i >= len(keys)] * len(spans[key])
        return ids, learned

    def compare(self, rng: Random) -> Example:
        """Pairs of numbers, near each other more often than not, each with its verdict in the words of `days`."""
        ids, learned = [], []
        for _ in range(rng.randint(8, 24)):
            a = rng.randint(0, 99)
            near = rng.random() < 0.6
            b = min(99, max(0, a + rng.randint(-6, 6))) if near else rng.randint(0, 99)
            verdict = "less" if a < b else "more" if a > b else "same"
            piece = self.tokenizer.encode(f" {a} against {b}: {verdict}.", add_special_tokens=False).ids
            ids += piece
            learned += [i == len(piece) - 2 for i in range(len(piece))]
        return ids, learned

    def ledger(self, rng: Random) -> Example:
        """What people of `cards` hold, what moves between them, and who has what in the end, in any order: sums and the
        newest of many values, in a third of the tokens that moves by cards take."""
        have = {name: rng.randint(10, 60) for name in rng.sample(NAMES, rng.randint(2, 6))}
        pieces = [(", ".join(f"{name} {held}" for name, held in have.items()) + ".\n", False)]
        for _ in range(rng.randint(1, 8)):
            (giver, taker), moved = rng.sample(sorted(have), 2), rng.randint(1, 9)
            before = (have[giver], have[taker])
            have[giver] -= moved
            have[taker] += moved
            if have[giver] < 0 or have[taker] > cards.TOP:
                have[giver], have[taker] = before
                continue
            gives = f"{giver} {before[0]} - {moved} = {have[giver]}"
            pieces.append((f"{gives}, {taker} {before[1]} + {moved} = {have[taker]}.\n", True))
        names = rng.sample(sorted(have), len(have))
        pieces.append(("\n" + ", ".join(f"{name} has {have[name]}" for name in names) + ".", True))
        return encode_pieces(self.tokenizer, pieces)

    def shop(self, rng: Random) -> Example:
        """Prices, then recipes one after the other: what is known of the parts, up to the first that is not and
        is needed, or the sum. A visit to a goal of `recipes` without the goals: whether a part is known is asked of all
        that stands above, where most parts are in some recipe."""
        foods = rng.sample(FOODS, rng.randint(5, 10))
        known = {food: rng.randint(1, 9) for food in foods[: rng.randint(2, 5)]}
        pieces = [(" ".join(recipes.price(food, known) for food in known) + "\n", False)]
        for _ in range(rng.randint(3, 8)):
            open_ = [food for food in foods if food not in known]
            if not open_:
                break
            made = rng.choice(open_)
            parts = rng.sample([food for food in foods if food != made], 2)
            said = recipes.visit(made, parts, known)
            if said is None:
                continue
            text, _ = said
            pieces += [(recipes.recipe(made, parts), False), (text + "\n", True)]
        return encode_pieces(self.tokenizer, pieces)
