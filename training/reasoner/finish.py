"""What comes after training: the evaluation, the folder and the card."""

import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from .attention import layers
from .card import card
from .evaluate import Known, Result, evaluate, problems, summary
from .export import export
from .tasks import FAMILIES, problem
from .tokenizer import encode
from .trainer import Trainer

RESULTS = "results.jsonl"


def finish(trainer: Trainer, out: Path, count: int) -> dict:
    """Evaluates the averaged weights as they are written, in float16's precision, on `count` problems a family; writes
    `evaluation.json` and `model/`. Results are kept as they come, in `results.jsonl`: cut off, the next call goes on
    from them. The summary."""
    tokenizer, model = trainer.tokenizer, trainer.averaged()
    for weight in model.parameters():
        weight.data = weight.data.half().float()
    export(model, tokenizer, out / "model")
    seen = [encode(tokenizer, problem(family, 0.8, seed).turns)[0] for family in FAMILIES for seed in range(2)]
    by_layer = layers(model, seen)
    weights = hashlib.sha256((out / "model" / "model.safetensors").read_bytes()).hexdigest()
    drawn = problems(count, trainer.preset, tokenizer)
    with (out / RESULTS).open("a+") as file:
        known = _known(file, weights)

        def note(result: Result) -> None:
            file.write(json.dumps({"weights": weights, **asdict(result)}) + "\n")
            file.flush()

        results = evaluate(
            model.to(trainer.device), tokenizer, drawn, lambda text: print(text, flush=True), Known(known, note)
        )
    measured = summary(results)
    training = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": trainer.tokens,
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "device": _device(trainer.device),
        "base": trainer.base,
    }
    (out / "evaluation.json").write_text(json.dumps({"training": training, "layers": by_layer, **measured}) + "\n")
    (out / "model" / "README.md").write_text(
        card(trainer.preset, model.shape, trainer.seed, training, measured, by_layer)
    )
    return measured


def _known(file, weights: str) -> dict[str, Result]:
    """Results of the same weights; a last line that was cut off counts as absent."""
    file.seek(0)
    known, line = {}, "\n"
    for line in file:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.pop("weights") == weights:
            result = Result(**row)
            known[result.key] = result
    if not line.endswith("\n"):
        file.write("\n")
    return known


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} cores ({platform.machine()})"
