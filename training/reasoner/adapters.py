"""Adapters: a model is taught by small matrices beside its own, which stay as they are (LoRA; Hu and others, 2021).

No gradients of the large matrices are made, which are a third of a step's arithmetic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import Reasoner

PARTS = (".down", ".up")


class Adapted(nn.Module):
    """A linear map whose matrix is frozen, plus the product of two small ones, which is 0 at first."""

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = linear.weight.shape
        self.weight = linear.weight
        down = torch.randn(rank, columns, generator=generator) * columns**-0.5
        self.down = nn.Parameter(down)  # [rank, columns]
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.down), self.up)


def adapt(model: Reasoner, rank: int, seed: int) -> None:
    """Puts adapters beside all matrices of all layers; nothing else is learned any more."""
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for layer in model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, child in list(block.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(block, name, Adapted(child, rank, generator))


def merged(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of a model without adapters: each matrix with what its adapter adds."""
    whole = own(weights)
    for name in weights:
        if name.endswith(".up"):
            place = name.removesuffix(".up")
            whole[f"{place}.weight"] = whole[f"{place}.weight"] + weights[name] @ weights[f"{place}.down"]
    return whole


def own(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without those of adapters."""
    return {name: weight for name, weight in weights.items() if not name.endswith(PARTS)}
