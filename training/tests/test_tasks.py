"""The tasks: every line of thought follows from the questions alone."""

import re
from random import Random

import pytest
from solver import solve

import samples
from reasoner.tasks import FAMILIES, answer_of, draw, problem
from reasoner.tasks.recipes import MOST


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 1.8])
def test_thinking_follows_from_the_questions(family: str, level: float) -> None:
    for seed in range(50):
        turns = problem(family, level, seed).turns
        solved = solve(family, [turn.question for turn in turns])
        assert [(turn.thinking, turn.answer) for turn in turns] == solved


@pytest.mark.parametrize("family", FAMILIES)
def test_a_problem_is_a_function_of_its_seed(family: str) -> None:
    assert problem(family, 0.5, 1) == problem(family, 0.5, 1)
    assert problem(family, 0.5, 1) != problem(family, 0.5, 2)


def test_exact_sizes() -> None:
    for seed in range(20):
        assert problem("cards", 0.5, seed, 30).turns[0].thinking.count("Move ") == 30
        assert [turn.thinking.count("Move ") for turn in problem("two_turn", 0.5, seed, 12).turns] == [12, 12]
        assert problem("days", 0.5, seed, 9).turns[0].thinking.count("so far") == 9
        assert problem("sort", 0.5, seed, 17).turns[0].thinking.count("Smallest") == 17
        assert problem("rooms", 0.5, seed, 40).turns[0].question.count("Room ") == 40
        assert problem("recipes", 0.5, seed, MOST).turns[0].question.count(" is ") == MOST


def test_runs_of_exact_size_do_not_repeat_themselves() -> None:
    for seed in range(20):
        lines = problem("cards", 0.5, seed, 30).turns[0].thinking.split("\n")
        assert len({line.split(". ", 1)[1] for line in lines}) == 30


@pytest.mark.parametrize("family", ["cards", "two_turn"])
def test_decks_have_cards_alike_where_asked(family: str) -> None:
    def again(alike: float) -> float:
        """Part of the cards that give as one before them."""
        cards = before = 0
        for seed in range(100):
            turns = draw(Random(seed), family, 1.0, alike=alike).turns
            assert [(turn.thinking, turn.answer) for turn in turns] == solve(family, [turn.question for turn in turns])
            gifts = [gift for turn in turns for gift in re.findall(r"Card \d+: (\w+ gives \w+ \d)", turn.question)]
            cards += len(gifts)
            before += len(gifts) - len(set(gifts))
        return before / cards

    assert draw(Random(1), family, 1.0, alike=0.0) == draw(Random(1), family, 1.0)
    assert again(0.4) > again(0.0) + 0.08


def test_recipes_read_things_again_that_were_worked_out_for_another() -> None:
    thoughts = [problem("recipes", 1.0, seed).turns[0] for seed in range(40)]
    shared = 0
    for turn in thoughts:
        for fact in turn.question.split(". "):
            if " is " in fact:
                food = fact.split(" ")[0].lower()
                shared += turn.question.count(f"is {food} plus") + turn.question.count(f"plus {food}.") > 1
    assert shared > 20


def test_answers_are_judged_to_the_letter() -> None:
    assert answer_of("<think>\na</think>b\n</think>\n\n Day 2.<|im_end|>") == "Day 2."
    assert answer_of("<think>\nDay 2.") != "Day 2."


def test_the_committed_samples_are_those_of_the_command() -> None:
    path = samples.Path(samples.__file__).parent / "samples.jsonl"
    assert path.read_text() == "\n".join(samples.lines()) + "\n"
    assert path.stat().st_size < 1_000_000
