"""Sparsemax without sorting: a projection onto the simplex that exports to ONNX and TensorRT.

sparsemax(z) = max(z - tau, 0) with the tau that makes it sum to 1 (Martins and Astudillo, 2016). The sum is a convex,
decreasing, piecewise-linear function of tau, so Newton's method started left of the root climbs to it without ever
overshooting and stops exactly once the support is known. Only elementwise and reduce operations are needed; TensorRT
has no Sort and its TopK ends at 3,840.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Newton steps. Random logits need 5 to 10; the cap of 32 covers geometric decays over 16,000 concepts, where each step
# still drops a fixed share of the remaining support.
NEWTON_STEPS = 32


def sparsemax_threshold(logits: Tensor, steps: int = NEWTON_STEPS) -> Tensor:
    """The tau with sum(max(logits - tau, 0)) = 1 over the last dimension.

    logits: float [..., concepts]; the largest of each row must be 0 (shift first), which keeps float32 exact where the
    support lies. Returns float [..., 1]. Not differentiable: `sparsemax` brings its own gradient.
    """
    # tau lies in [-1, 0): at -1 the largest entry alone already sums to 1.
    tau = torch.full_like(logits[..., :1], -1.0)
    for _ in range(steps):
        excess = (logits - tau).clamp(min=0.0)
        support = (logits > tau).to(logits.dtype).sum(-1, keepdim=True).clamp(min=1.0)
        tau = tau + (excess.sum(-1, keepdim=True) - 1.0) / support
    return tau


class _Sparsemax(torch.autograd.Function):
    """The closed-form gradient: on the support, the incoming gradient minus its mean there; 0 elsewhere."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor) -> Tensor:
        weights = _weights(logits)
        ctx.save_for_backward(weights > 0)
        return weights

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        (support,) = ctx.saved_tensors  # type: ignore[attr-defined]
        mask = support.to(gradient.dtype)
        mean = (gradient * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)
        result: Tensor = mask * (gradient - mean)
        return result


def _weights(logits: Tensor) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    weights: Tensor = (shifted - sparsemax_threshold(shifted)).clamp(min=0.0)
    return weights


def sparsemax(logits: Tensor) -> Tensor:
    """Weights >= 0 that sum to 1 over the last dimension, most of them exactly 0.

    logits: float32 or float64 [..., concepts]; returns the same shape. Half precision is refused, because rounding of
    the logits decides the support there (cosines fall to 0.3 on wide logits).
    """
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"sparsemax needs float32 or float64 logits, got {logits.dtype}")
    if torch.compiler.is_exporting():
        return _weights(logits)  # graphs carry no gradient
    weights: Tensor = _Sparsemax.apply(logits)  # type: ignore[no-untyped-call]
    return weights
