"""Aerial images and recordings of the starter model: images.csv + audio.csv, paired by meaning."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.preprocessing import SECONDS, Limits, crop_and_resize, decode_image, prepare_audio
from sat2sound.satellite_types import satellite_type

PERMISSIVE_TIER = "A"
TILE = satellite_type("aerial").tile_pixels
LIMITS = Limits()
WINDOWS_PER_RECORDING = 6  # of ten seconds; longer recordings are not read further
MAX_DAMAGED_SHARE = 0.02

# Sound group -> the scenes where it is heard. The pairing is by meaning: images and recordings are of other places.
GROUP_SCENES: dict[str, tuple[str, ...]] = {
    "beach": ("beach",),
    "residential": ("denseresidential", "mediumresidential", "sparseresidential", "mobilehomepark"),
    "farmland": ("agricultural",),
    "airport": ("airplane", "runway"),
    "industrial": ("storagetanks",),
    "forest": ("forest",),
    "road": ("freeway", "overpass", "intersection"),
    "harbor": ("harbor",),
    "river": ("river",),
}
SCENE_GROUP = {scene: group for group, scenes in GROUP_SCENES.items() for scene in scenes}
# Groups with enough recordings in every split to be evaluated.
EVALUATED_GROUPS = ("beach", "residential", "farmland", "airport", "industrial")


@dataclass(frozen=True)
class ImageSet:
    """Images of one split. pixels: uint8 [n, side, side, 3]; scenes: name per image."""

    pixels: npt.NDArray[np.uint8]
    scenes: tuple[str, ...]


@dataclass(frozen=True)
class AudioSet:
    """Recordings of one split. log_mels: per recording float32 [windows, 1001, 64] in dB, consecutive 10 s windows."""

    log_mels: tuple[npt.NDArray[np.float32], ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass
class StarterFolder:
    """Reader of a data folder. damaged: files that could not be decoded, with the reason; they are skipped."""

    folder: Path
    damaged: list[str] = field(default_factory=list)

    def images(self, split: str, *, prepared: bool) -> ImageSet:
        """Images of a split. prepared: as the server prepares them (224 px); else the whole tile (256 px).

        Raises ConfigurationError if the split is empty or too many files are damaged.
        """
        pixels, scenes = [], []
        rows = self.rows("images.csv", ("path", "scene", "split"), split)
        aerial = satellite_type("aerial")
        for row in rows:
            try:
                image = decode_image((self.folder / row["path"]).read_bytes(), LIMITS)
            except (InvalidInput, OSError) as error:
                self.damaged.append(f"{row['path']}: {error}")
                continue
            pixels.append(crop_and_resize(image, aerial, 1) if prepared else _whole_tile(image))
            scenes.append(row["scene"])
        self._check(rows, len(pixels))
        return ImageSet(np.stack(pixels), tuple(scenes))

    def recordings(self, split: str, *, prepared: bool) -> AudioSet:
        """Recordings of a split with a permissive licence. prepared: only the first 10 s, as the server takes them."""
        columns = ("path", "group", "label", "split", "tier", "duration_s")
        rows = [row for row in self.rows("audio.csv", columns, split) if row["tier"] == PERMISSIVE_TIER]
        log_mels, labels, groups = [], [], []
        for row in rows:
            last = 0 if prepared else int((float(row["duration_s"]) - 1.0) // SECONDS)  # ends shorter than 1 s are left
            offsets = range(0, SECONDS * min(max(last, 0) + 1, WINDOWS_PER_RECORDING), SECONDS)
            try:
                data = (self.folder / row["path"]).read_bytes()
                log_mels.append(np.concatenate([prepare_audio(data, LIMITS, float(offset)) for offset in offsets]))
            except (InvalidInput, OSError) as error:
                self.damaged.append(f"{row['path']}: {error}")
                continue
            labels.append(row["label"])
            groups.append(row["group"])
        self._check(rows, len(log_mels))
        return AudioSet(tuple(log_mels), tuple(labels), tuple(groups))

    def rows(self, name: str, columns: Sequence[str], split: str) -> list[dict[str, str]]:
        """The rows of a table that belong to a split. Raises ConfigurationError: no file, no such columns, no rows."""
        path = self.folder / name
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({error}); give the data folder with --data") from error
        missing = [column for column in columns if rows and column not in rows[0]]
        if missing:
            raise ConfigurationError(f"{path} has no column {', '.join(missing)}; expected {', '.join(columns)}")
        chosen = [row for row in rows if row["split"] == split]
        if not chosen:
            raise ConfigurationError(f"{path} has no rows of split {split!r}")
        return chosen

    def _check(self, rows: Sequence[object], read: int) -> None:
        if read == 0 or len(rows) - read > MAX_DAMAGED_SHARE * len(rows):
            raise ConfigurationError(
                f"{len(rows) - read} of {len(rows)} files cannot be used:\n  " + "\n  ".join(self.damaged[:20])
            )


def _whole_tile(image: Image.Image) -> npt.NDArray[np.uint8]:
    """RGB image -> uint8 [256, 256, 3]; a few tiles of the source are some pixels smaller."""
    if image.size != (TILE, TILE):
        image = image.resize((TILE, TILE), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)
