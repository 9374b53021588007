"""Writes `problems.jsonl` into the folder of a model: what `transformers` says in float32, to check other engines with.

Each line is a JSON object: `family`, `level`, `question`, `thinking`, `answer`, `prompt_ids`, `gold_ids` (the right
reply), `greedy_ids` (what the model said) and `right`, whether that ends in the right answer. Problems have one turn
each, and are none that training or the evaluation draws.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from reasoner.tasks import answer_of, ask, problem

FAMILIES = ["cards", "days", "recipes", "rooms", "sort"]
LEVELS = [0.1, 0.3, 0.5, 0.8]
COUNT = 100
SEED = 3_000_000_000


@torch.inference_mode()
def rows(folder: Path, count: int = COUNT) -> list[dict]:
    """`count` problems, each answered on its own."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    written = []
    for i in range(count):
        family, level = FAMILIES[i % len(FAMILIES)], LEVELS[i // len(FAMILIES) % len(LEVELS)]
        [turn] = problem(family, level, SEED + i).turns
        prompt, gold = (
            tokenizer(text, add_special_tokens=False).input_ids
            for text in (ask(turn.question), turn.reply() + "<|im_end|>")
        )
        said = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=len(gold) * 5 // 4 + 16,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )[0, len(prompt) :].tolist()
        right = answer_of(tokenizer.decode(said, skip_special_tokens=False)) == turn.answer
        row = {"family": family, "level": level, **vars(turn), "prompt_ids": prompt, "gold_ids": gold}
        written.append(row | {"greedy_ids": said, "right": right})
        if (i + 1) % 10 == 0:
            print(f"{i + 1} of {count}, {sum(row['right'] for row in written)} right", file=sys.stderr, flush=True)
    return sorted(written, key=lambda row: (row["family"], row["level"]))


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python training/references.py run/model",
    )
    parser.add_argument("folder", type=Path, help="folder of a model, as train.py writes it")
    folder = parser.parse_args().folder
    if not (folder / "config.json").exists():
        sys.exit(f"references.py: {folder} is not the folder of a model: it has no config.json")
    lines = [json.dumps(row) + "\n" for row in rows(folder)]
    (folder / "problems.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
