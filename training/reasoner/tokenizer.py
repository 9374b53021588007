"""The tokenizer: bytes at the bottom, and every word and number of the world as one token.

Numbers of one or two digits are one token, with or without a space before them. Digits apart would make it plain which
of two numbers is smaller, but chains would be longer by a third, and the same number has to be found again as a whole.
The size of a number is given to the model with its starting weights instead (`wiring.py`).
"""

import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .tasks import FAMILIES, Turn, problem, render
from .tasks.words import DISHES, FOODS, ITEMS, NAMES

# What `<|endoftext|>` and the turn marks are to Qwen's chat models; the thinking marks are plain text there, and here.
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
PIECES = Regex(r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+")


def build() -> Tokenizer:
    """The tokenizer, the same at every call."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(PIECES, "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,  # more than there is to merge: merging ends when every word is whole
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(), trainer)
    tokenizer.add_tokens([AddedToken(mark, special="think" not in mark, normalized=False) for mark in MARKS])
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer of a file."""
    return Tokenizer.from_file(str(path))


def encode(tokenizer: Tokenizer, turns: tuple[Turn, ...]) -> tuple[list[int], list[bool]]:
    """The ids of a conversation, and which of them the assistant writes."""
    return encode_pieces(tokenizer, render(turns))


def encode_pieces(tokenizer: Tokenizer, pieces: list[tuple[str, bool]]) -> tuple[list[int], list[bool]]:
    """The ids of pieces of a text, and which of them are of marked pieces."""
    ids, marked = [], []
    for text, mark in pieces:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        marked += [mark] * len(piece)
    return ids, marked


def numbers(tokenizer: Tokenizer) -> dict[int, int]:
    """Token -> the number that it writes."""
    return {tokenizer.token_to_id(space + str(n)): n for n in range(100) for space in ("", "Ġ")}


def words(tokenizer: Tokenizer) -> dict[int, str]:
    """Token -> what it writes but for case and space, for every token that has letters or digits."""
    texts = {id_: token.removeprefix("Ġ").lower() for token, id_ in tokenizer.get_vocab().items() if token not in MARKS}
    return {id_: text for id_, text in texts.items() if text.isalnum() and text.isascii()}


def _pieces() -> list[str]:
    """All that is to be one token, each as it stands in a text."""
    split = pre_tokenizers.Split(PIECES, "isolated")
    words = NAMES + ITEMS + FOODS + DISHES + [food.capitalize() for food in FOODS] + [str(n) for n in range(100)]
    pieces = set(words) | {f" {word}" for word in words}
    for family in FAMILIES:
        for seed in range(40):
            for text, _ in render(problem(family, 0.5, seed).turns):
                for plain in re.split("|".join(map(re.escape, MARKS)), text):
                    pieces |= {piece for piece, _ in split.pre_tokenize_str(plain)}
    return sorted(pieces)
