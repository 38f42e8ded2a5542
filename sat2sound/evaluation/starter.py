"""The starter's four figures on the shared data: does an image find its scene and its sounds, a sound its places?

`python -m sat2sound.evaluation.starter --model starter --data ../shared/data --split test` prints them as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sat2sound.evaluation.ranks import Embeddings
from sat2sound.evaluation.scene_figures import StarterFigures, figures
from sat2sound.models import Sat2Sound
from sat2sound.training.batches import conditions_of
from sat2sound.training.caption_files import CaptionFiles, Captions, read_caption_files
from sat2sound.training.starter_data import SCENE_GROUP, AudioSet, ImageSet, StarterFolder
from sat2sound.training.text_states import TextStates

__all__ = ["EvaluationData", "StarterFigures", "evaluate_starter", "figures", "read_evaluation_data"]

BATCH = 32


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """One split, prepared as the server prepares it, and the texts that training never saw."""

    images: ImageSet
    recordings: AudioSet
    held_out: Captions

    @property
    def texts(self) -> list[str]:
        """All held-out wordings, scene by scene."""
        return [text for texts in self.held_out.values() for text in texts]


def read_evaluation_data(folder: StarterFolder, split: str, files: CaptionFiles) -> EvaluationData:
    """Images, permissive recordings and held-out wordings. Raises ConfigurationError if the split is empty."""
    return EvaluationData(
        folder.images(split, prepared=True), folder.recordings(split, prepared=True), files.held_out_scenes
    )


@torch.inference_mode()
def embed_images(model: Sat2Sound, pixels: npt.NDArray[np.uint8]) -> Embeddings:
    """pixels: uint8 [n, 224, 224, 3] at the aerial type's distance -> unit embeddings float32 [n, D]."""
    distance = model.config.satellite_type.metres_per_pixel
    embedded = [
        model.pool_satellite(model.encode_satellite(batch, conditions_of(torch.full((len(batch),), distance))))
        for batch in torch.split(torch.from_numpy(pixels), BATCH)
    ]
    return np.asarray(torch.cat(embedded))


@torch.inference_mode()
def embed_recordings(model: Sat2Sound, log_mels: npt.NDArray[np.float32]) -> Embeddings:
    """log_mels: float32 [n, 1, 1001, 64] -> unit embeddings float32 [n, D]."""
    embedded = [model.pool_audio(model.encode_audio(batch)) for batch in torch.split(torch.from_numpy(log_mels), BATCH)]
    return np.asarray(torch.cat(embedded))


@torch.inference_mode()
def embed_texts(model: Sat2Sound, states: TextStates, texts: Sequence[str]) -> Embeddings:
    """Texts whose token states are known -> unit embeddings float32 [n, D]."""
    return np.asarray(model.pool_text(*states.of(texts)))


def evaluate_starter(model: Sat2Sound, data: EvaluationData, states: TextStates) -> StarterFigures:
    """The four figures of a model in eval mode. states: must know `data.texts`."""
    images = embed_images(model, data.images.pixels)
    recordings = embed_recordings(model, np.stack([windows[:1] for windows in data.recordings.log_mels]))
    texts = embed_texts(model, states, data.texts)
    groups = [SCENE_GROUP.get(scene, "") for scene in data.images.scenes]
    return figures(images, data.images.scenes, groups, recordings, data.recordings.groups, texts, data.held_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter", help='"starter" or a .safetensors file')
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", default="val", choices=["train", "val", "test"])
    options = parser.parse_args(arguments)
    model = Sat2Sound.from_checkpoint(options.model)
    data = read_evaluation_data(StarterFolder(options.data), options.split, read_caption_files())
    print(evaluate_starter(model, data, TextStates(data.texts, model.config.text)).to_json())


if __name__ == "__main__":
    main()
