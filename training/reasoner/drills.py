"""Drills: two skills on their own, in a few tokens each, before and beside the problems that need them."""

from random import Random

from tokenizers import Tokenizer

from .tokenizer import words

Example = tuple[list[int], list[bool]]  # ids, and which of them are to be learned


class Drills:
    """Draws drills in the tokens of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.keys = [tokenizer.token_to_id(f"Ġ{n}") for n in range(100)]
        self.tokens = sorted(words(tokenizer))

    def draw(self, rng: Random) -> Example:
        """Either, as often."""
        return self.recall(rng) if rng.random() < 0.5 else self.compare(rng)

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
