"""Writes sample problems of every family, for other implementations of the tasks to be checked against.

Each line is a JSON object: `family`, `level`, `turns` (objects of `question`, `thinking`, `answer`) and `verdicts`,
pairs of a reply to the last turn and whether it is right.
"""

import argparse
import json
from pathlib import Path
from random import Random

from reasoner.tasks import FAMILIES, Problem, answer_of, problem

# Of every 20 problems; short ones show the grammar as well as long ones.
LEVELS = 14 * [0.0] + 3 * [0.1] + 2 * [0.35] + [1.0]
COUNT = 1000
SEED = 2_000_000_000


def verdicts(sample: Problem, rng: Random) -> list[tuple[str, bool]]:
    """Replies of each kind that a judge has to tell apart, two of them, without their long thinking."""
    turn = sample.turns[-1]
    wrong = turn.answer.replace(turn.answer[-2], "7" if turn.answer[-2] != "7" else "8")
    replies = [
        f"<think>\nSo.\n</think>\n\n{turn.answer}<|im_end|>",
        f"<think>\nSo.\n</think>\n\n{turn.answer}",
        f"</think>{turn.answer}\n",
        f"<think>\nSo.\n</think>\n\n{wrong}<|im_end|>",
        f"<think>\n{turn.answer}",
        f"<think>\nSo.\n</think>\n\n{turn.answer} {turn.answer}<|im_end|>",
        "",
    ]
    return [(reply, answer_of(reply) == turn.answer) for reply in rng.sample(replies, 2)]


def lines(count: int = COUNT) -> list[str]:
    """The samples, families in turn."""
    rng = Random(SEED)
    families = list(FAMILIES)
    written = []
    for i in range(count):
        family, level = families[i % len(families)], LEVELS[i // len(families) % len(LEVELS)]
        sample = problem(family, level, SEED + i)
        turns = [vars(turn) for turn in sample.turns]
        line = {"family": family, "level": level, "turns": turns, "verdicts": verdicts(sample, rng)}
        written.append(json.dumps(line, ensure_ascii=False))
    return written


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python training/samples.py training/samples.jsonl",
    )
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "samples.jsonl", help="the file")
    path = parser.parse_args().path
    path.write_text("\n".join(lines()) + "\n")
    print(f"{COUNT} problems, {path.stat().st_size / 1e3:.0f} kB: {path}")


if __name__ == "__main__":
    main()
