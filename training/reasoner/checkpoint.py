"""Where a run stands, in one file."""

import os
import struct
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

NAME = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint at once, so that a run cut off while it writes still has the one before."""
    fresh = folder / f"{NAME}.new"
    with fresh.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, folder / NAME)


def read(folder: Path, device: torch.device) -> dict[str, Any]:
    """The checkpoint of a folder."""
    path = folder / NAME
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: begin without --resume")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError, struct.error, ValueError) as error:
        raise ValueError(f"{path} is no checkpoint, or a broken one: {error}") from error
