"""Sparsemax by root finding equals the definition by sorting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sat2sound.models.sparsemax import sparsemax


def by_sorting(logits: torch.Tensor) -> torch.Tensor:
    """The definition, in float64: the threshold from the sorted cumulative sum."""
    wide = logits.double()
    ordered = wide.sort(-1, descending=True).values
    ranks = torch.arange(1, wide.shape[-1] + 1)
    inside = 1 + ranks * ordered > ordered.cumsum(-1)
    size = inside.sum(-1, keepdim=True)
    threshold = (ordered.cumsum(-1).gather(-1, size - 1) - 1) / size
    return (wide - threshold).clamp(min=0)


@pytest.mark.parametrize("scale", [1e-3, 1e-1, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("concepts", [1, 2, 1000, 16_000])
@pytest.mark.parametrize("kind", ["normal", "uniform", "ties", "geometric", "equal"])
def test_equals_the_definition(scale: float, concepts: int, kind: str) -> None:
    torch.manual_seed(0)
    logits = (
        scale
        * {
            "normal": torch.randn(3, concepts),
            "uniform": torch.rand(3, concepts),
            "ties": torch.randint(0, 3, (3, concepts)).float(),
            "geometric": -torch.logspace(-6, 3, concepts).repeat(3, 1),
            "equal": torch.zeros(3, concepts),
        }[kind]
    )
    weights = sparsemax(logits)
    torch.testing.assert_close(weights.double(), by_sorting(logits), atol=1e-6, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("support", [1, 7, 300, 4000, 16_000])
def test_support_sizes_from_one_to_all(support: int) -> None:
    logits = torch.full((1, 16_000), -5.0)
    logits[0, :support] = torch.linspace(0, 0.5 / support, support)
    weights = sparsemax(logits)
    assert int((weights > 0).sum()) == support
    torch.testing.assert_close(weights.double(), by_sorting(logits), atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), st.floats(-1e3, 1e3, width=32))
def test_shifting_the_logits_changes_little(values: list[float], shift: float) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    torch.testing.assert_close(sparsemax(logits + shift), sparsemax(logits), atol=1e-9, rtol=0)


def test_gradient_is_the_true_one() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, (logits,))
    (ours,) = torch.autograd.grad((sparsemax(logits) * torch.arange(30.0)).sum(), logits)
    reference = logits.detach().clone().requires_grad_()
    (theirs,) = torch.autograd.grad((by_sorting(reference) * torch.arange(30.0)).sum(), reference)
    torch.testing.assert_close(ours, theirs)


def test_half_precision_is_refused() -> None:
    with pytest.raises(TypeError, match="float32"):
        sparsemax(torch.zeros(1, 4, dtype=torch.float16))
