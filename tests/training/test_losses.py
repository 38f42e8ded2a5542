"""The published losses: against their numbers, against a plain rewrite, and properties that must hold for any batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from shared_data import shared_folder
from torch import Tensor

from sat2sound.training.losses import contrastive_loss, sat2sound_loss

SCALES = {name: torch.tensor(math.log(1 / 0.07)) for name in ("ia", "it", "at", "i_at", "fdt")}
# Logits reach 1 / 0.07 in float32: a loss near zero is their difference and carries 1e-5 of rounding all the same.
ROUNDING = 1e-5
SETS = ("satellite", "audio", "audio_caption", "image_caption")
batches = some.tuples(some.integers(2, 12), some.integers(2, 24), some.integers(0, 2**31))


def embeddings(shape: tuple[int, int, int], sets: int = 2) -> list[Tensor]:
    batch, width, seed = shape
    random = np.random.default_rng(seed)
    return [torch.from_numpy(random.standard_normal((batch, width)).astype(np.float32)) for _ in range(sets)]


def slowly(first: Tensor, second: Tensor, scale: float) -> float:
    """The definition, one pair at a time, in float64."""
    a, b = (np.asarray(side, np.float64) for side in (first, second))
    logits = np.array([[scale * (x @ y) / math.sqrt((x @ x) * (y @ y)) for y in b] for x in a])
    pseudo = np.array([[float(logits[i, j] >= logits[i, i]) for j in range(len(b))] for i in range(len(a))])

    def cross_entropy(scores: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> float:
        total = 0.0
        for row, target in zip(scores, targets, strict=True):
            normaliser = math.log(sum(math.exp(value - row.max()) for value in row)) + row.max()
            total -= sum(weight * (value - normaliser) for value, weight in zip(row, target, strict=True))
        return total / len(scores)

    def symmetric(targets: npt.NDArray[np.float64]) -> float:
        return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets.T)) / 2

    return symmetric(np.eye(len(a))) + 0.1 * symmetric(pseudo)


def test_values_are_the_published_ones() -> None:
    expected = np.load(shared_folder("parity", "expected.npz"))
    satellite, audio, caption, image_caption = (torch.from_numpy(expected[f"loss_{name}"]) for name in SETS)
    found = sat2sound_loss(satellite, audio, caption, image_caption, SCALES).values()
    assert np.abs(np.array(found) - expected["loss_values"]).max() <= 1e-4


@settings(max_examples=25, deadline=None)
@given(batches)
def test_equals_the_definition_pair_by_pair(shape: tuple[int, int, int]) -> None:
    first, second = embeddings(shape)
    assert float(contrastive_loss(first, second, SCALES["ia"])) == pytest.approx(
        slowly(first, second, 1 / 0.07), rel=1e-4, abs=ROUNDING
    )


@settings(max_examples=25, deadline=None)
@given(batches, some.floats(0.01, 100.0))
def test_length_of_embeddings_does_not_matter(shape: tuple[int, int, int], factor: float) -> None:
    first, second = embeddings(shape)
    expected = contrastive_loss(first, second, SCALES["ia"])
    assert torch.allclose(
        contrastive_loss(first * factor, second / factor, SCALES["ia"]), expected, rtol=1e-3, atol=ROUNDING
    )


@settings(max_examples=25, deadline=None)
@given(batches)
def test_order_of_the_batch_does_not_matter(shape: tuple[int, int, int]) -> None:
    first, second = embeddings(shape)
    order = torch.from_numpy(np.random.default_rng(shape[2]).permutation(len(first)))
    expected = contrastive_loss(first, second, SCALES["ia"])
    assert torch.allclose(
        contrastive_loss(first[order], second[order], SCALES["ia"]), expected, rtol=1e-4, atol=ROUNDING
    )


@settings(max_examples=25, deadline=None)
@given(batches)
def test_given_positives_of_one_pair_each_are_the_published_loss(shape: tuple[int, int, int]) -> None:
    first, second = embeddings(shape)
    given = contrastive_loss(first, second, SCALES["ia"], torch.eye(len(first)))
    assert torch.allclose(given, contrastive_loss(first, second, SCALES["ia"]), rtol=1e-6)


def test_pairs_that_fit_cost_less_than_pairs_that_do_not() -> None:
    first, _ = embeddings((8, 16, 1))
    fitting = float(contrastive_loss(first, first, SCALES["ia"]))
    assert fitting < 0.3
    assert float(contrastive_loss(first, first.roll(1, 0), SCALES["ia"])) > fitting + 5


def test_a_batch_of_indistinguishable_items_costs_the_uniform_entropy_and_its_pseudo_positives() -> None:
    same = torch.ones(8, 4)
    # Every item ties with the true one, so all 8 are pseudo-positives, each at a cost of ln 8.
    assert float(contrastive_loss(same, same, SCALES["ia"])) == pytest.approx(math.log(8) * (1 + 0.1 * 8), rel=1e-5)


def test_several_positives_share_the_target() -> None:
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    shared = torch.kron(torch.eye(2), torch.full((2, 2), 0.5))
    found = contrastive_loss(first, first, torch.tensor(math.log(20.0)), shared, pseudo_positive_weight=0.0)
    assert float(found) == pytest.approx(math.log(2), abs=1e-4)  # two equal answers, both right


def test_total_is_the_mean_of_three_terms_and_two_more() -> None:
    sets = embeddings((6, 8, 4), sets=4)
    pairs = [*sat2sound_loss(sets[0], sets[1], sets[2], sets[3], SCALES).values()]
    assert pairs[5] == pytest.approx(sum(pairs[:3]) / 3 + pairs[3] + pairs[4], rel=1e-6)


def test_gradient_reaches_every_embedding_and_every_scale_and_is_finite() -> None:
    sets = [side.requires_grad_() for side in embeddings((6, 8, 5), sets=4)]
    scales = {name: value.clone().requires_grad_() for name, value in SCALES.items()}
    sat2sound_loss(sets[0], sets[1], sets[2], sets[3], scales).total.backward()  # type: ignore[no-untyped-call]
    for value in (*sets, *scales.values()):
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
        assert value.grad.abs().sum() > 0


def test_joint_term_adds_raw_embeddings_before_they_are_normalised() -> None:
    satellite, audio, caption, image_caption = embeddings((6, 8, 6), sets=4)
    long_audio = sat2sound_loss(satellite, audio * 50, caption, image_caption, SCALES)
    # With a much longer audio embedding the sum points where the audio does; unit vectors would weigh both alike.
    assert float(long_audio.satellite_audio_with_caption) == pytest.approx(float(long_audio.satellite_audio), abs=0.2)
