"""The gradient steps that every discriminator here takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def logistic_regression(
    optimizer: torch.optim.Optimizer,
    steps: int,
    batch: Callable[[], tuple[Tensor, int, Tensor]],
    penalty_weight: float,
) -> dict[str, float]:
    """Teach D to tell demonstrations (1) from samples (0).

    Args:
        optimizer: of D's parameters.
        steps: gradient steps.
        batch: draws what a step sees: logits of D [K], demonstrated ones first; how many those are; penalty.
        penalty_weight: of the penalty.

    Returns:
        Figures for the log: mean loss, and share of logits on the right side of 0.
    """
    losses, right = [], []
    for _ in range(steps):
        logit, demonstrated, penalty = batch()
        label = (torch.arange(len(logit), device=logit.device) < demonstrated).to(logit)
        loss = functional.binary_cross_entropy_with_logits(logit, label)
        optimizer.zero_grad()
        (loss + penalty_weight * penalty).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        right.append(float(((logit > 0) == (label > 0)).float().mean()))
    return {"discriminator_loss": sum(losses) / steps, "discriminator_accuracy": sum(right) / steps}
