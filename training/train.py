"""Trains a reasoner, evaluates it and writes it out as a Hugging Face folder with a card."""

import argparse
import shutil
import signal
import sys
from pathlib import Path

import torch
from torch._dynamo.exc import TorchDynamoException

from reasoner.base import load
from reasoner.checkpoint import NAME as CHECKPOINT
from reasoner.finish import finish
from reasoner.presets import PRESETS
from reasoner.trainer import LOG, Trainer

EXAMPLES = """examples:
  python training/train.py --preset cpu --out run              the whole of it, over two hours on two cores
  python training/train.py --preset cpu --out run --minutes 40 the first 40 minutes, then a checkpoint
  python training/train.py --out run --resume --minutes 40     40 minutes more
  python training/train.py --preset cpu --seed 2 --out run2    another seed: other weights, other problems
  python training/train.py --preset gpu --out big              one GPU
  python training/train.py --preset gpu --device cpu --out try --minutes 1 \\
      --set layers=3 --set workers=0 --set batch=4096          that the preset works, where there is no GPU
  python training/train.py --preset smollm2 --base SmolLM2-135M-Instruct.Q4_1.gguf --out smol
  python training/train.py --preset smollm2 --base smol/model --seed 1 --out smol2 --set rank=32 --set adam_lr=0.002
The finished model is in OUT/model, what was measured in OUT/evaluation.json and in the card, OUT/model/README.md.
"""


def counted(text: str) -> int:
    """A whole number from 1 on, of the command line."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is wanted, not {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, help="what to train (default: cpu)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and model")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT, with its settings")
    parser.add_argument(
        "--base", type=Path, help="model that smollm2 starts from: a Hugging Face folder or a GGUF file"
    )
    parser.add_argument("--minutes", type=float, help="stop after so many, with a checkpoint (default: run to the end)")
    parser.add_argument("--seed", type=int, help="of weights and problems (default: 0)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=counted, help="of the CPU (default: one a core)")
    parser.add_argument(
        "--problems", type=counted, default=300, help="problems a family in the evaluation (default: 300)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a setting of the preset (repeatable)"
    )
    args = parser.parse_args()
    given = [name for name in ("preset", "seed", "base") if getattr(args, name) is not None]
    if args.resume and given:
        parser.error(f"--resume goes on with the settings of the checkpoint, without --{given[0]}")
    return args


def device_of(name: str | None) -> torch.device:
    """The device named, or the best there is."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"no device {name}: {str(error).splitlines()[0]}") from error
    return device


def begin(args: argparse.Namespace, device: torch.device) -> Trainer:
    """A run from its first step, or from its checkpoint."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.resume:
        return Trainer.resumed(args.out, device, args.set)
    if (args.out / CHECKPOINT).exists():
        raise ValueError(f"{args.out} has a checkpoint: add --resume to go on, or choose another folder")
    preset = PRESETS[args.preset or "cpu"].changed(args.set)
    if preset.base != (args.base is not None):
        raise ValueError(f"preset {preset.name} {'wants' if preset.base else 'starts from scratch, without'} --base")
    (args.out / LOG).unlink(missing_ok=True)  # of a run that came to no checkpoint
    return Trainer(preset, args.seed or 0, device, load(args.base, preset.max_positions) if args.base else None)


class Halt:
    """Whether somebody wants the run to stop: inside `with`, the first Ctrl-C or SIGTERM is heeded between two steps,
    with a checkpoint, the second at once; after it they do what they did before."""

    def __init__(self) -> None:
        self.by = 0

    def __enter__(self) -> "Halt":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.by = number
        signal.signal(number, signal.SIG_DFL)
        print("Stopping after this step; once more to stop at once", file=sys.stderr, flush=True)

    def __call__(self) -> bool:
        return self.by != 0


def main() -> None:
    """Trains; once the run is over, evaluates and exports."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        device = device_of(args.device)
        trainer = begin(args, device)
        parameters = sum(weight.numel() for weight in trainer.model.parameters())
        preset = trainer.preset
        size = f"{parameters / 1e6:.2f}M parameters on {device}, {preset.tokens / 1e6:.1f}M tokens"
        print(f"{preset.name}: {size}", flush=True)
        if preset.compile and (device.type == "cuda" or shutil.which("g++")):
            trainer.compile()
        with Halt() as halt:
            over = trainer.run(args.out, args.minutes, halt)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"train.py: {error}")
    except TorchDynamoException as error:
        sys.exit(f"train.py: cannot compile here, go on with --set compile=no: {str(error).splitlines()[0]}")
    if not over:
        print(f"Not done yet: go on with --out {args.out} --resume")
        sys.exit(128 + halt.by if halt.by else 0)
    measured = finish(trainer, args.out, args.problems)
    for family, count in measured["families"].items():
        low, high = count["interval"]
        print(f"{family:16} {count['right']:4} of {count['total']}  ({100 * low:.1f} to {100 * high:.1f} %)")
    print(f"Written to {args.out / 'model'}; references.py adds problems.jsonl, which other engines are checked with")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
