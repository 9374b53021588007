"""Muon: momentum whose update of a matrix is made orthogonal (K. Jordan and others, 2024)."""

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(x: Tensor) -> Tensor:
    """Nearly the orthogonal factor of each matrix, singular values of 0.7 to 1.2. x: [matrices, rows, columns]."""
    a, b, c = COEFFICIENTS
    x = x.bfloat16() if x.is_cuda else x.clone()
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(Optimizer):
    """For matrices. Those of one shape are worked on together."""

    def __init__(self, matrices: list[Tensor], lr: float, weight_decay: float = 0.01) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": group} for group in by_shape.values()]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            matrices = group["params"]
            updates = []
            for matrix in matrices:
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                momentum.mul_(MOMENTUM).add_(matrix.grad)
                updates.append(matrix.grad.add(momentum, alpha=MOMENTUM))
            rows, columns = matrices[0].shape
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for matrix, update in zip(matrices, orthogonal(torch.stack(updates))):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)
