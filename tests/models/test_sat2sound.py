"""The joined model: shapes, independence of batch neighbours, padding, chunking over concepts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sat2sound.configs import config_names, load_config
from sat2sound.contract import CONDITIONS
from sat2sound.models import Sat2Sound
from sat2sound.models.codebook import Codebook


@pytest.fixture(scope="module")
def model() -> Sat2Sound:
    torch.manual_seed(0)
    return Sat2Sound.from_config("starter").eval()


def conditions(count: int) -> torch.Tensor:
    values = torch.full((count, len(CONDITIONS)), math.nan)
    values[:, 0] = torch.linspace(0.2, 0.9, count)
    return values


def test_shapes_and_unit_length(model: Sat2Sound) -> None:
    config = model.config
    with torch.inference_mode():
        pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
        image_tokens = model.encode_satellite(pixels, conditions(2))
        audio_tokens = model.encode_audio(torch.randn(2, 1, 1001, 64) * 10 - 30)
        image, audio = model.pool_satellite(image_tokens), model.pool_audio(audio_tokens)
    assert image_tokens.shape == (2, config.image_tokens, config.embedding)
    assert audio_tokens.shape == (2, config.audio.output_tokens, config.audio.output_width)
    for embedding in (image, audio):
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2))


def test_an_embedding_does_not_depend_on_its_neighbours(model: Sat2Sound) -> None:
    pixels = torch.randint(0, 256, (5, 224, 224, 3), dtype=torch.uint8)
    known = conditions(5)
    with torch.inference_mode():
        together = model.pool_satellite(model.encode_satellite(pixels, known))
        order = torch.tensor([3, 0, 4, 2, 1])
        shuffled = model.pool_satellite(model.encode_satellite(pixels[order], known[order]))
        alone = torch.cat([model.pool_satellite(model.encode_satellite(pixels[[i]], known[[i]])) for i in range(5)])
    torch.testing.assert_close(shuffled, together[order], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["starter", "sentinel-withmeta"])
def test_conditions_that_are_missing_or_out_of_range(name: str) -> None:
    config = load_config(name)
    torch.manual_seed(0)
    small = replace(config, satellite=replace(config.satellite, depth=1)) if config.metadata else config
    model = Sat2Sound.from_config(small).eval()
    native = config.satellite_type.ground_sample_distance(1)
    known = torch.tensor([native, 12.0, -80.0, 5.0, 23.0, 3.0, 2.0])
    pixels = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)

    def tokens(**changed: float) -> torch.Tensor:
        row = known.clone()
        for key, value in changed.items():
            row[[tensor.name for tensor in CONDITIONS].index(key)] = value
        with torch.inference_mode():
            return model.encode_satellite(pixels, row[None])

    for odd in (math.nan, 0.0, -3.0, 1001.0, math.inf):
        torch.testing.assert_close(tokens(GSD=odd), tokens(), atol=0, rtol=0)
    outside = {"LATITUDE": 91.0, "MONTH": 13.0, "HOUR": 24.0, "AUDIO_SOURCE": 4.0, "CAPTION_SOURCE": -1.0}
    for key, value in outside.items():
        missing = tokens(**{key: math.nan})
        torch.testing.assert_close(tokens(**{key: value}), missing, atol=0, rtol=0)
        assert torch.isfinite(missing).all()
        if config.metadata:
            assert float((missing - tokens()).abs().max()) > 1e-3


def test_text_does_not_depend_on_its_padding(model: Sat2Sound) -> None:
    states = torch.randn(1, 9, model.config.text.width)
    padded = torch.cat([states, torch.randn(1, 23, model.config.text.width)], dim=1)
    mask = torch.cat([torch.ones(1, 9), torch.zeros(1, 23)], dim=1).long()
    with torch.inference_mode():
        short = model.pool_text(states, torch.ones(1, 9).long())
        long = model.pool_text(padded, mask)
    torch.testing.assert_close(short, long, atol=1e-6, rtol=0)


def test_the_unpadded_variant_pools_over_the_tokens_alone(model: Sat2Sound) -> None:
    count, width = 3, model.config.text.width
    states = torch.randn(1, count, width)
    padded = torch.cat([states, torch.randn(1, 5, width)], dim=1)
    mask = torch.tensor([[1] * count + [0] * 5])
    with torch.inference_mode():
        scaled = model.codebook.token_logits(model.text_query(states)) * model.codebook.scale
        for tokens, known in ((states, torch.ones(1, count, dtype=torch.int64)), (padded, mask)):
            query = model.text_query(tokens)
            for chunk in (None, 100):
                bare = model.codebook.pooled_logits(query, known, chunk, floor=False)
                floored = model.codebook.pooled_logits(query, known, chunk)
                torch.testing.assert_close(bare, scaled.amax(1), atol=1e-7, rtol=1e-5)
                torch.testing.assert_close(floored, scaled.amax(1).clamp(min=0), atol=1e-7, rtol=1e-5)
        assert bool((bare < 0).any()), "the floor makes a difference here"
        nothing = model.pool_text(padded, torch.zeros_like(mask), floor=False)
    assert bool(torch.isfinite(nothing).all())


def test_the_floor_decides_embeddings_whose_logits_are_all_negative(model: Sat2Sound) -> None:
    import copy

    shy = copy.deepcopy(model)
    with torch.inference_mode():
        states, mask = torch.randn(1, 2, model.config.text.width), torch.ones(1, 2, dtype=torch.int64)
        direction = torch.nn.functional.normalize(shy.text_query(states).sum(1), dim=-1)
        shy.codebook.concepts.sub_(40 * direction)
        floored, bare = shy.raw_text(states, mask), shy.raw_text(states, mask, floor=False)
        torch.testing.assert_close(floored, shy.codebook.concepts.mean(0, keepdim=True), atol=1e-4, rtol=1e-4)
    assert float((floored - bare).abs().max()) > 1e-2


def test_the_codebook_stays_in_float32_under_autocast(model: Sat2Sound) -> None:
    queries = torch.randn(2, 7, model.config.embedding)
    with torch.inference_mode():
        expected = model.codebook(queries)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.codebook(queries)
            chunked = model.codebook(queries, None, 100)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(chunked, expected, atol=1e-5, rtol=1e-4)


def test_chunks_over_concepts_change_nothing(model: Sat2Sound) -> None:
    tokens = torch.randn(3, model.config.image_tokens, model.config.embedding)
    with torch.inference_mode():
        whole = model.raw_satellite(tokens)
        chunked = model.raw_satellite(tokens, concepts_per_chunk=100)
    torch.testing.assert_close(whole, chunked, atol=1e-5, rtol=1e-4)


def test_chunks_over_concepts_bound_the_memory() -> None:
    """The largest tensor that pooling makes: batch x tokens x chunk, whatever the size of the codebook."""
    codebook, largest = Codebook(4000, 8, 1.0), 0

    class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel() * out.element_size())
            return out

    queries, mask = torch.randn(4, 201, 8), torch.ones(4, 201, dtype=torch.int64)
    for given in (None, mask):
        for floor in (True, False):
            largest = 0
            with torch.inference_mode(), Largest():  # type: ignore[no-untyped-call]
                codebook(queries, given, 100, floor=floor)
            assert 0 < largest <= 4 * (4 * 201 * 100), (largest, floor)


def test_position_follows_the_ground_sample_distance(model: Sat2Sound) -> None:
    pixels = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8).expand(2, -1, -1, -1)
    with torch.inference_mode():
        near, far = model.encode_satellite(pixels, conditions(2))
    assert float((near - far).abs().max()) > 1e-3


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_builds(name: str) -> None:
    config = load_config(name)
    with torch.device("meta"):
        built = Sat2Sound(config)
    assert (built.metadata is not None) == name.endswith("withmeta")
    assert built.codebook.concepts.shape == (config.codebook.size, config.embedding)
    assert type(config).from_json(config.to_json()) == config


def test_missing_metadata_is_masked() -> None:
    torch.manual_seed(0)
    import dataclasses

    from sat2sound.configs import METADATA_PARTS, MetadataConfig

    metadata = MetadataConfig(parts=METADATA_PARTS, layers=1, heads=4, feedforward=64, hidden=8)
    config = dataclasses.replace(load_config("starter"), metadata=metadata)
    small = Sat2Sound(config).eval()
    tokens = torch.randn(2, 196, config.embedding)
    known = torch.tensor([[0.3, 47.0, 8.0, 6.0, 12.0, 1.0, 2.0]]).repeat(2, 1)
    known[1, 3] = math.nan
    assert small.metadata is not None
    with torch.inference_mode():
        fused = small.metadata(tokens, known)
        other_month = known.clone()
        other_month[:, 3] = torch.tensor([1.0, math.nan])
        changed = small.metadata(tokens, other_month)
    assert fused.shape == (2, 201, config.embedding)
    assert torch.isfinite(fused).all()
    assert float((fused[0] - changed[0]).abs().max()) > 1e-4, "a known month counts"
    torch.testing.assert_close(fused[1], changed[1])
