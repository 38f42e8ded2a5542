"""Does this library compute what the published code computes? `python tests/parity.py DIR` prints a table.

DIR holds manifest.json (salt, parameter names, what each input is), expected.npz and the inputs. Models are filled by
the rule in MODEL.md, written as published checkpoints, and loaded through the public loader. Exit 1 if anything is off.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_checkpoint import write_checkpoint
from parity_numbers import loss_checks, retrieval_checks

from sat2sound.models import Sat2Sound
from sat2sound.preprocessing import (
    Conditions,
    Limits,
    SatelliteRequest,
    crop_and_resize,
    decode_image,
    normalise_pixels,
    prepare_audio,
    prepare_satellite,
)
from sat2sound.satellite_types import satellite_type


@dataclass(frozen=True)
class Check:
    """One compared quantity. difference: largest absolute (embeddings: relative to their largest magnitude)."""

    quantity: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Within tolerance; a NaN never is."""
        return self.difference <= self.tolerance


def _gap(found: Any, expected: Any) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else math.nan


def _relative(found: Any, expected: Any) -> float:
    return _gap(found, expected) / float(np.abs(expected).max())


class Parity:
    """Compares one folder."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.expected = dict(np.load(folder / "expected.npz"))
        self.models = {}
        for metadata in (True, False):
            path = scratch / f"{'withmeta' if metadata else 'nometa'}.ckpt"
            write_checkpoint(path, self.manifest, metadata=metadata)
            self.models[metadata] = Sat2Sound.from_checkpoint(path)

    def checks(self) -> Iterator[Check]:
        """All comparisons, in the order of data flow."""
        with torch.inference_mode():
            for index, entry in enumerate(self.manifest.get("satellite", [])):
                yield from self._satellite(index, entry)
            for index, entry in enumerate(self.manifest.get("audio", [])):
                yield from self._audio(index, entry)
            if "text_hidden" in self.expected:
                yield from self._text()
        for quantity, found, tolerance in (*loss_checks(self.expected), *retrieval_checks(self.expected)):
            yield Check(quantity, _gap(found, self.expected[quantity]), tolerance)

    def _conditions(self, entry: dict[str, Any]) -> Conditions:
        request = SatelliteRequest(
            image=(self.folder / entry["file"]).read_bytes(),
            satellite=entry["sat_type"],
            zoom_level=entry["zoom_level"],
            latitude=entry["latitude"],
            longitude=entry["longitude"],
            month=entry["month"] if entry.get("month_valid", 1) else None,
            hour=entry["hour"] if entry.get("time_valid", 1) else None,
        )
        _, prepared = prepare_satellite(request, self.models[True].config, Limits())
        values = {**vars(prepared), "audio_source": entry["audio_source"], "caption_source": entry["caption_source"]}
        return Conditions(**values)

    def _satellite(self, index: int, entry: dict[str, Any]) -> Iterator[Check]:
        name, want = f"sat{index}", self.expected
        image = decode_image((self.folder / entry["file"]).read_bytes(), Limits())
        prepared = crop_and_resize(image, satellite_type(entry["sat_type"]), entry["zoom_level"])
        yield Check(f"{name}_pixels", _gap(normalise_pixels(prepared), want[f"{name}_pixels"]), 1e-5)
        conditions = self._conditions(entry)
        yield Check(f"{name}_gsd", abs(conditions.gsd - entry["gsd_m"]), 1e-9)

        full, plain = self.models[True], self.models[False]
        pixels = torch.from_numpy(prepared[None])
        known = torch.from_numpy(conditions.as_array()[None])
        tokens, fused = plain.encode_satellite(pixels, known), full.encode_satellite(pixels, known)
        yield Check(f"{name}_tokens", _gap(tokens[0, ::39, ::64], want[f"{name}_tokens"]), 2e-4)
        yield Check(f"{name}_fused_tokens", _gap(fused[0, ::40, ::64], want[f"{name}_fused_tokens"]), 2e-4)
        for key, model, own in ((f"{name}_embedding_nometa", plain, tokens), (f"{name}_embedding", full, fused)):
            yield Check(key, _relative(model.raw_satellite(own)[0], want[key]), 1e-4)
        queries = full.satellite_query(fused)
        weights = full.codebook.weights(queries)[0].sort(descending=True).values
        largest = want[f"{name}_weights_top"]
        yield Check(f"{name}_weights_top", _gap(weights[: len(largest)], largest), 1e-6)
        without = plain.codebook.weights(plain.satellite_query(tokens))
        support = [int((without > 0).sum()), int((weights > 0).sum())]
        yield Check(f"{name}_support", _gap(support, want[f"{name}_support"]), 2)
        logits = full.codebook.token_logits(queries)[0, :196:13, ::1000]
        yield Check(f"{name}_token_code_attention", _gap(logits, want[f"{name}_token_code_attention"]), 2e-3)

    def _audio(self, index: int, entry: dict[str, Any]) -> Iterator[Check]:
        name, want, model = f"aud{index}", self.expected, self.models[True]
        mel = prepare_audio((self.folder / entry["file"]).read_bytes(), Limits())
        yield Check(f"{name}_mel", _gap(mel[0, ::7], want[f"{name}_mel"]), 1e-3)
        tokens = model.encode_audio(torch.from_numpy(mel[None]))
        yield Check(f"{name}_tokens", _gap(tokens[0, ::4, ::48], want[f"{name}_tokens"]), 2e-4)
        yield Check(f"{name}_embedding", _relative(model.raw_audio(tokens)[0], want[f"{name}_embedding"]), 1e-4)
        weights = model.codebook.weights(model.audio_query(tokens))
        yield Check(f"{name}_support", _gap([int((weights > 0).sum())], want[f"{name}_support"]), 2)

    def _text(self) -> Iterator[Check]:
        want, model = self.expected, self.models[True]
        tokens, mask = torch.from_numpy(want["text_hidden"]), torch.from_numpy(want["text_mask"])
        yield Check("text_embedding", _relative(model.raw_text(tokens, mask), want["text_embedding"]), 1e-4)
        # padded tokens have the logit 0 for every concept, so that the first one is their best
        logits = model.codebook.token_logits(model.text_query(tokens)) * mask[..., None]
        yield Check("text_best_code", _gap(logits.argmax(-1), want["text_best_code"]), 0)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of one folder; 0 if everything passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args(arguments).folder
    failed = 0
    print(f"{'quantity':<32}{'max |difference|':>18}{'tolerance':>12}  pass")
    with tempfile.TemporaryDirectory() as scratch:
        for check in Parity(folder, Path(scratch)).checks():
            failed += not check.passed
            verdict = "yes" if check.passed else "NO"
            print(f"{check.quantity:<32}{check.difference:>18.3g}{check.tolerance:>12.0e}  {verdict}")
    print("all passed" if not failed else f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
