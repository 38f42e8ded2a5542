"""Moving average of weights, stochastic depth, and the schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sat2sound.training.averaging import MovingAverage
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.stochastic_depth import StochasticDepth


def test_average_follows_and_settles() -> None:
    module = nn.BatchNorm1d(3)
    average = MovingAverage(module, decay=0.9)
    nn.init.constant_(module.weight, 5.0)
    module.running_mean.fill_(2.0)  # type: ignore[union-attr]
    average.update(module, 0)
    assert average.module.weight.tolist() == pytest.approx([1 * 0.1 + 5 * 0.9] * 3)  # short memory at the start
    for step in range(1, 400):
        average.update(module, step)
    assert average.module.weight.tolist() == pytest.approx([5.0] * 3)
    assert average.module.running_mean.tolist() == pytest.approx([2.0] * 3)  # type: ignore[union-attr]
    assert not average.module.training
    assert not average.module.weight.requires_grad


class Residual(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + 1.0


def test_a_dropped_block_is_the_identity_and_the_mean_stays() -> None:
    blocks = nn.ModuleList([Residual()])
    depth = StochasticDepth(blocks, 0.25)
    depth.random = np.random.default_rng(0)
    out = blocks[0](torch.zeros(4000, 1, 1))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(out.mean()) == pytest.approx(1.0, abs=0.05)
    blocks.eval()
    assert blocks[0](torch.zeros(4, 1, 1)).unique().tolist() == [1.0]


def test_deeper_blocks_are_dropped_more_often() -> None:
    blocks = nn.ModuleList([Residual(), Residual()])
    StochasticDepth(blocks, 0.5)
    shares = [float((block(torch.zeros(4000, 1, 1)) == 0).float().mean()) for block in blocks]
    assert shares == pytest.approx([0.25, 0.5], abs=0.05)


def test_schedule_warms_up_and_falls_to_almost_nothing() -> None:
    phases = (Phase(128, 10), Phase(224, 2))
    recipe = Recipe(label_phases=(), phases=phases, batch=10, learning_rate=1e-3, warm_up_steps=10)
    rates = [recipe.learning_rate_at(step, 105) for step in range(recipe.steps(105))]
    assert len(rates) == 120
    assert rates[0] == pytest.approx(1e-4, rel=0.02)
    assert int(np.argmax(rates)) in (9, 10)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] < 2e-6
    assert [recipe.image_size(epoch) for epoch in (0, 9, 10, 11)] == [128, 128, 224, 224]


def test_schedule_starts_again_after_the_labels() -> None:
    both = Recipe((Phase(96, 3), Phase(160, 1)), (Phase(128, 2),), 10, label_learning_rate=2e-3, warm_up_steps=5)
    assert (both.label_epochs, both.steps(105)) == (4, 60)
    alone = Recipe((), (Phase(128, 2),), 10, warm_up_steps=5)
    labels = Recipe((), both.label_phases, 10, learning_rate=2e-3, warm_up_steps=5)
    rates = [both.learning_rate_at(step, 105) for step in range(60)]
    assert rates[:40] == [labels.learning_rate_at(step, 105) for step in range(40)]
    assert rates[40:] == [alone.learning_rate_at(step, 105) for step in range(20)]
    assert [both.image_size(epoch) for epoch in range(6)] == [96, 96, 96, 160, 128, 128]
