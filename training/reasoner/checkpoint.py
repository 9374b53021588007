"""Where a run stands, in one file."""

import os
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint at once, so that a run cut off while it writes still has the one before."""
    fresh = folder / f"{NAME}.new"
    torch.save(state, fresh)
    os.replace(fresh, folder / NAME)


def read(folder: Path, device: torch.device) -> dict[str, Any]:
    """The checkpoint of a folder."""
    path = folder / NAME
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: begin without --resume")
    return torch.load(path, map_location=device, weights_only=True)
