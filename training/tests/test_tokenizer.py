"""The tokenizer."""

import re

import pytest

from reasoner.tasks import FAMILIES, problem, render
from reasoner.tokenizer import MARKS, build, encode, numbers, words

TOKENIZER = build()


@pytest.mark.parametrize("family", FAMILIES)
def test_conversations_come_back_and_every_word_is_one_token(family: str) -> None:
    for seed in range(30):
        turns = problem(family, 1.0, 1000 + seed).turns
        ids, written = encode(TOKENIZER, turns)
        text = "".join(piece for piece, _ in render(turns))
        assert TOKENIZER.decode(ids, skip_special_tokens=False) == text
        assert TOKENIZER.encode(text, add_special_tokens=False).ids == ids
        mine = "".join(piece for piece, by_assistant in render(turns) if by_assistant)
        ids_written = [id_ for id_, by_assistant in zip(ids, written) if by_assistant]
        assert TOKENIZER.decode(ids_written, skip_special_tokens=False) == mine
        whole = re.findall("|".join(map(re.escape, MARKS)) + r"| ?[A-Za-z]+| ?\d{1,2}| ?[^\s\w]|\s+", text)
        assert [TOKENIZER.decode([id_], skip_special_tokens=False) for id_ in ids] == whole


def test_any_text_comes_back() -> None:
    text = "Grüße, 世界! \t\n 12345 <x>"
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_building_is_deterministic() -> None:
    assert TOKENIZER.to_str() == build().to_str()


def test_numbers_and_words() -> None:
    sized = numbers(TOKENIZER)
    assert len(sized) == 200 and None not in sized
    assert all(TOKENIZER.decode([token]).strip() == str(number) for token, number in sized.items())
    texts = words(TOKENIZER)
    alike = [token for token, text in texts.items() if text == "soup"]
    assert {TOKENIZER.id_to_token(token) for token in alike} >= {"soup", "Soup", "Ġsoup", "ĠSoup"}
