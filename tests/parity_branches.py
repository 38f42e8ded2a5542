"""The parity checks of the three branches: satellite images, recordings, token states of texts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from parity_folder import Check, ParityFolder, Quantity, entry_type
from torch import Tensor

from sat2sound.models import Sat2Sound
from sat2sound.preprocessing import (
    AUDIO_SOURCES,
    CAPTION_SOURCES,
    Conditions,
    Limits,
    crop_and_resize,
    decode_image,
    normalise_pixels,
    prepare_audio,
)
from sat2sound.preprocessing.limits import LARGEST_MAX_IMAGE_PIXELS
from sat2sound.satellite_types import SatelliteType, satellite_type

# Bounds for servers are not the question here.
LIMITS = Limits(
    max_encoded_bytes=2**31,
    max_image_pixels=LARGEST_MAX_IMAGE_PIXELS,
    min_image_side=1,
    max_audio_seconds=1e6,
    min_audio_seconds=1e-6,
)
_PIXELS, _TOKENS, _EMBEDDING, _WEIGHTS, _SUPPORT, _LOGITS, _LOG_MEL = 1e-6, 2e-4, 1e-4, 1e-6, 2, 2e-3, 1e-3


class _Image:
    """One image through the models with and without metadata, each step computed when it is first asked for."""

    def __init__(self, folder: ParityFolder, entry: dict[str, Any], full: Sat2Sound, plain: Sat2Sound) -> None:
        self.folder, self.entry, self.full, self.plain = folder, entry, full, plain
        self.zoom_level = int(entry.get("zoom_level", 1))

    @property
    def kind(self) -> SatelliteType:
        return satellite_type(entry_type(self.entry))

    @property
    def gsd(self) -> float:
        return self.kind.ground_sample_distance(self.zoom_level)

    @cached_property
    def prepared(self) -> Any:
        """uint8 [224, 224, 3]."""
        image = decode_image((self.folder.path / self.entry["file"]).read_bytes(), LIMITS)
        return crop_and_resize(image, self.kind, self.zoom_level)

    @property
    def conditions(self) -> Tensor:
        """float32 [1, 7] of what the manifest gives and calls valid."""
        conditions = Conditions(
            gsd=self.gsd,
            latitude=self._known("latitude", "latlong_valid"),
            longitude=self._known("longitude", "latlong_valid"),
            month=self._known("month", "month_valid"),
            hour=self._known("hour", "time_valid"),
            audio_source=self._known("audio_source", "audio_source_valid", AUDIO_SOURCES),
            caption_source=self._known("caption_source", "caption_source_valid", CAPTION_SOURCES),
        )
        return torch.from_numpy(conditions.as_array()[None])

    def _known(self, name: str, switch: str, ids: dict[str, int] | None = None) -> float:
        value = self.entry.get(name)
        if value is None or not self.entry.get(switch, 1):
            return math.nan
        return float(ids[value] if ids and isinstance(value, str) else value)

    @cached_property
    def tokens(self) -> Tensor:
        return self.plain.encode_satellite(torch.from_numpy(self.prepared[None]), self.conditions)

    @cached_property
    def fused(self) -> Tensor:
        if self.full is self.plain:
            return self.tokens
        return self.full.encode_satellite(torch.from_numpy(self.prepared[None]), self.conditions)

    @cached_property
    def weights(self) -> Tensor:
        return self.full.codebook.weights(self.full.satellite_query(self.fused))[0]

    @cached_property
    def plain_weights(self) -> Tensor:
        return self.plain.codebook.weights(self.plain.satellite_query(self.tokens))[0]

    def supports(self, expected: Any) -> list[int]:
        """[without, with metadata]; only the latter where one number is expected."""
        sizes = [_support(self.plain_weights), _support(self.weights)]
        return sizes if np.size(expected) == 2 else sizes[1:]

    def quantities(self) -> dict[str, Quantity]:
        """All that the layout knows of, in the order of data flow."""
        full, plain = self.full, self.plain
        return {
            "pixels": Quantity(_PIXELS, lambda _: normalise_pixels(self.prepared)),
            "gsd": Quantity(1e-9, lambda _: self.gsd),
            "tokens": Quantity(_TOKENS, lambda _: self.tokens[0, ::39, ::64]),
            "fused_tokens": Quantity(_TOKENS, lambda _: self.fused[0, ::40, ::64]),
            "embedding_nometa": Quantity(_EMBEDDING, lambda _: plain.codebook.mix(self.plain_weights), True),
            "embedding": Quantity(_EMBEDDING, lambda _: full.raw_satellite(self.fused)[0], True),
            "weights_top": Quantity(_WEIGHTS, lambda expected: _largest(self.weights, expected)),
            "support": Quantity(_SUPPORT, self.supports),
            "token_code_attention": Quantity(
                _LOGITS,
                lambda _: full.codebook.token_logits(full.satellite_query(self.fused))[0, :196:13, ::1000],
            ),
        }


def satellite_checks(folder: ParityFolder, full: Sat2Sound, plain: Sat2Sound) -> Iterator[Check]:
    """Of every image. full: with the metadata of the folder; plain: without, the same one if the folder has none."""
    for index, entry in enumerate(folder.manifest.get("satellite") or []):
        image = _Image(folder, entry, full, plain)
        checks = folder.compare(f"sat{index}", image.quantities())
        if not checks:
            folder.without_numbers.append(f"satellite input {index} ({entry.get('file')})")
        elif "gsd_m" in entry:
            yield image.quantities()["gsd"].check(f"sat{index}_gsd_m", entry["gsd_m"])
        yield from checks


def audio_checks(folder: ParityFolder, model: Sat2Sound) -> Iterator[Check]:
    """Of every recording."""
    for index, entry in enumerate(folder.manifest.get("audio") or []):
        checks = folder.compare(f"aud{index}", _audio_quantities(folder, entry, model))
        if not checks:
            folder.without_numbers.append(f"audio input {index} ({entry.get('file')})")
        yield from checks


def _audio_quantities(folder: ParityFolder, entry: dict[str, Any], model: Sat2Sound) -> dict[str, Quantity]:
    found: dict[str, Tensor] = {}

    def mel() -> Tensor:
        if "mel" not in found:
            data = (folder.path / entry["file"]).read_bytes()
            found["mel"] = torch.from_numpy(prepare_audio(data, LIMITS, float(entry.get("offset_seconds", 0.0))))
        return found["mel"]

    def tokens() -> Tensor:
        if "tokens" not in found:
            found["tokens"] = model.encode_audio(mel()[None])
        return found["tokens"]

    def weights() -> Tensor:
        return model.codebook.weights(model.audio_query(tokens()))[0]

    return {
        "mel": Quantity(_LOG_MEL, lambda _: mel()[0, ::7]),
        "tokens": Quantity(_TOKENS, lambda _: tokens()[0, ::4, ::48]),
        "embedding": Quantity(_EMBEDDING, lambda _: model.raw_audio(tokens())[0], True),
        "weights_top": Quantity(_WEIGHTS, lambda expected: _largest(weights(), expected)),
        "support": Quantity(_SUPPORT, lambda _: [_support(weights())]),
    }


def text_checks(folder: ParityFolder, model: Sat2Sound) -> Iterator[Check]:
    """Of the batch of given token states, if the folder has one."""
    if "text_hidden" not in folder.expected:
        return

    def given() -> tuple[Tensor, Tensor]:
        """Token states and which of them are no padding."""
        states, mask = np.asarray(folder.given("text_hidden"), np.float32), np.asarray(folder.given("text_mask")) != 0
        return torch.from_numpy(states), torch.from_numpy(mask)

    def weights(expected: Any) -> Tensor:
        """As the published code: only rows with padding are floored. A row without counts as right either way."""
        tokens, mask = given()
        padded, bare = (model.codebook.weights(model.text_query(tokens), mask, floor=floor) for floor in (True, False))
        gaps = [(model.codebook.mix(kind) - torch.from_numpy(expected)).abs().amax(1) for kind in (padded, bare)]
        better = (gaps[1] < gaps[0]) & mask.all(1)
        return torch.where(better[:, None], bare, padded)

    def best_codes(expected: Any) -> Tensor:
        """The best concept per token, where padded ones have the logit 0 for all; the expected one if it ties."""
        tokens, mask = given()
        logits = model.codebook.token_logits(model.text_query(tokens)) * mask[..., None]
        wanted = torch.from_numpy(np.asarray(expected, np.int64))
        ties = logits.gather(-1, wanted[..., None])[..., 0] >= logits.amax(-1) - _LOGITS
        return torch.where(ties, wanted, logits.argmax(-1))

    embedding = Quantity(_EMBEDDING, lambda expected: model.codebook.mix(weights(expected)), True)
    yield from folder.compare("text", {"embedding": embedding, "best_code": Quantity(0, best_codes)})


def _largest(weights: Tensor, expected: Any) -> Tensor:
    return weights.sort(descending=True).values[: len(expected)]


def _support(weights: Tensor) -> int:
    return int((weights > 0).sum())
