"""What comes after training: the evaluation, the folder and the card."""

import json
import platform
from pathlib import Path

import torch

from .attention import layers
from .card import card
from .evaluate import evaluate, problems, summary
from .export import export
from .tasks import FAMILIES, problem
from .tokenizer import encode
from .trainer import Trainer


def finish(trainer: Trainer, out: Path, count: int) -> dict:
    """Evaluates the averaged weights as they are written, in float16's precision, on `count` problems a family; writes
    `evaluation.json` and `model/`. The summary."""
    tokenizer, model = trainer.tokenizer, trainer.averaged()
    for weight in model.parameters():
        weight.data = weight.data.half().float()
    export(model, tokenizer, out / "model")
    seen = [encode(tokenizer, problem(family, 0.8, seed).turns)[0] for family in FAMILIES for seed in range(2)]
    by_layer = layers(model, seen)
    results = evaluate(model.to(trainer.device), tokenizer, problems(count), lambda text: print(text, flush=True))
    measured = summary(results)
    training = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": trainer.tokens,
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "device": _device(trainer.device),
    }
    (out / "evaluation.json").write_text(json.dumps({"training": training, "layers": by_layer, **measured}) + "\n")
    (out / "model" / "README.md").write_text(
        card(trainer.preset, model.shape, trainer.seed, training, measured, by_layer)
    )
    return measured


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} cores ({platform.machine()})"
