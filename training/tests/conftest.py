"""What the tests share."""

import pytest
import torch

from reasoner.presets import PRESETS, Preset


@pytest.fixture(autouse=True, scope="session")
def threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same numbers in every run, in whatever order the tests are run."""
    torch.manual_seed(0)


@pytest.fixture
def tiny() -> Preset:
    """The cpu preset in little."""
    changes = ["layers=3", "d_model=192", "d_ff=64", "max_positions=2048", "tokens=131072", "batch=2048"]
    return PRESETS["cpu"].changed([*changes, "compile=no"])
