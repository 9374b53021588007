"""Trains a reasoner, evaluates it and writes it out as a Hugging Face folder with a card."""

import argparse
import shutil
import sys
from pathlib import Path

import torch

from reasoner.base import load
from reasoner.checkpoint import NAME as CHECKPOINT
from reasoner.finish import finish
from reasoner.presets import PRESETS
from reasoner.trainer import Trainer

EXAMPLES = """examples:
  python training/train.py --preset cpu --out run              the whole of it, about two hours on two cores
  python training/train.py --preset cpu --out run --minutes 40 the first 40 minutes, then a checkpoint
  python training/train.py --out run --resume --minutes 40     40 minutes more
  python training/train.py --preset cpu --seed 2 --out run2    another seed: other weights, other problems
  python training/train.py --preset gpu --out big              one GPU
  python training/train.py --preset gpu --device cpu --out try --minutes 1 \\
      --set layers=3 --set workers=0 --set batch=4096          that the preset works, where there is no GPU
  python training/train.py --preset smollm2 --base SmolLM2-135M-Instruct.Q4_1.gguf --out smol
The finished model is in OUT/model, what was measured in OUT/evaluation.json and in the card, OUT/model/README.md.
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="what to train (default: cpu)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and model")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT, with its settings")
    parser.add_argument(
        "--base", type=Path, help="model that smollm2 starts from: a Hugging Face folder or a GGUF file"
    )
    parser.add_argument("--minutes", type=float, help="stop after so many, with a checkpoint (default: run to the end)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and problems (default: 0)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: one a core)")
    parser.add_argument("--problems", type=int, default=300, help="problems a family in the evaluation (default: 300)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a setting of the preset (repeatable)"
    )
    return parser.parse_args()


def begin(args: argparse.Namespace, device: torch.device) -> Trainer:
    """A run from its first step, or from its checkpoint."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.resume:
        return Trainer.resumed(args.out, device)
    if (args.out / CHECKPOINT).exists():
        raise ValueError(f"{args.out} has a checkpoint: add --resume to go on, or choose another folder")
    preset = PRESETS[args.preset].changed(args.set)
    if preset.base != (args.base is not None):
        raise ValueError(f"preset {preset.name} {'wants' if preset.base else 'starts from scratch, without'} --base")
    return Trainer(preset, args.seed, device, load(args.base, preset.max_positions) if args.base else None)


def main() -> None:
    """Trains; once the run is over, evaluates and exports."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        trainer = begin(args, device)
    except (OSError, ValueError) as error:
        sys.exit(f"train.py: {error}")
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    preset = trainer.preset
    print(
        f"{preset.name}: {parameters / 1e6:.2f}M parameters on {device}, {preset.tokens / 1e6:.1f}M tokens", flush=True
    )
    if preset.compile and (device.type == "cuda" or shutil.which("g++")):
        trainer.compile()
    if not trainer.run(args.out, args.minutes):
        print(f"Not done yet: go on with --out {args.out} --resume")
        return
    measured = finish(trainer, args.out, args.problems)
    for family, count in measured["families"].items():
        low, high = count["interval"]
        print(f"{family:16} {count['right']:4} of {count['total']}  ({100 * low:.1f} to {100 * high:.1f} %)")
    print(f"Written to {args.out / 'model'}")


if __name__ == "__main__":
    main()
