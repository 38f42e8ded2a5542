"""Small Parquet shards in the schema in which GeoSound and SoundingEarth are published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Array4D, Audio, Dataset, Features, Image, Value
from made_inputs import encoded, picture, recording

CROPS = (5, 1, 1001, 64)
GEOSOUND = Features(
    {
        "sample_id": Value("string"),
        "source": Value("string"),
        "audio": Audio(sampling_rate=32_000),
        "bingmap_image": Image(),
        "sentinel_image": Image(),
        "audio_caption": Value("string"),
        "audio_caption_source": Value("string"),
        "mel_features": Array4D(CROPS, "float32"),
        **{f"llava_caption_{kind}_zl{zoom}": Value("string") for kind in ("bingmap", "sentinel") for zoom in (1, 3, 5)},
        "latitude": Value("float32"),
        "longitude": Value("float32"),
        **{
            name: Value("string") for name in ("date", "description", "tags", "title", "scientific_name", "common_name")
        },
        **{name: Value("string") for name in ("sound_format", "text", "address")},
        "original_sampling_rate": Value("int64"),
        "bin_id": Value("string"),
    }
)
SOUNDING_EARTH = Features(
    {
        "sample_id": Value("string"),
        "short_id": Value("string"),
        "audio": Audio(sampling_rate=32_000),
        "googleearth_image": Image(),
        "audio_caption": Value("string"),
        "audio_caption_source": Value("string"),
        "mel_features": Array4D(CROPS, "float32"),
        "llava_caption_googleearth_zl1": Value("string"),
        "latitude": Value("float32"),
        "longitude": Value("float32"),
        "date_recorded": Value("string"),
    }
)
SOURCES = ("yfcc", "iNat", "aporee", "freesound")
CAPTION_SOURCES = ("meta", "qwen", "pengi")
_FILES: dict[tuple[str, int], bytes] = {}


def _file(kind: str, seed: int) -> bytes:
    """Images as large as a zoom level of 1 needs, recordings of two seconds; made once per seed."""
    if (kind, seed) not in _FILES:
        image = None if kind == "audio" else picture(seed).resize((300, 300))
        _FILES[kind, seed] = recording(2.0, 8_000 + 1_000 * seed) if image is None else encoded(image, "JPEG")
    return _FILES[kind, seed]


def geosound_row(index: int, **changed: Any) -> dict[str, Any]:
    """Row `index` of GeoSound; `changed` columns have other values."""
    source = SOURCES[index % 4]
    row: dict[str, Any] = dict.fromkeys(GEOSOUND, "")  # what is not known is an empty text there
    row |= {
        "sample_id": f"{source}-{index}",
        "source": source,
        "audio": {"bytes": _file("audio", index % 3), "path": f"{index}.mp3"},
        "bingmap_image": {"bytes": _file("bingmap", index % 3), "path": f"{index}.jpeg"},
        "sentinel_image": {"bytes": _file("sentinel", index % 3 + 3), "path": f"{index}.jpeg"},
        "audio_caption": f"sound number {index}",
        "audio_caption_source": CAPTION_SOURCES[index % 3],
        "mel_features": np.full(CROPS, -50.0 - index, np.float32),
        "latitude": 40.5 + index,
        "longitude": -90.25 - index,
        "date": "2013-05-01 10:22:33.0",
        "original_sampling_rate": 44_100,
    }
    for kind in ("bingmap", "sentinel"):
        row |= {f"llava_caption_{kind}_zl{zoom}": f"{kind} {index} at {zoom}" for zoom in (1, 3, 5)}
    return row | changed


def sounding_earth_row(index: int, **changed: Any) -> dict[str, Any]:
    """Row `index` of SoundingEarth."""
    shared = {name: value for name, value in geosound_row(index).items() if name in SOUNDING_EARTH}
    return shared | {
        "sample_id": f"aporee-{index}_7",
        "short_id": str(index),
        "googleearth_image": {"bytes": _file("google", index % 3), "path": f"{index}.jpg"},
        "llava_caption_googleearth_zl1": f"google {index}",
        "date_recorded": "2011-10-09 23:05:00",
        **changed,
    }


def write_shards(folder: Path, rows: dict[str, list[dict[str, Any]]], features: Features, per_shard: int = 3) -> Path:
    """data/SPLIT-00000-of-0000N.parquet, as `push_to_hub` names and writes them."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, of_split in rows.items():
        parts = [of_split[start : start + per_shard] for start in range(0, len(of_split), per_shard)]
        for number, part in enumerate(parts):
            name = f"{split}-{number:05}-of-{len(parts):05}.parquet"
            _write_shard(folder / "data" / name, part, features)
    return folder


def _write_shard(path: Path, rows: list[dict[str, Any]], features: Features) -> None:
    """The `datasets` library encodes audio only with torchcodec: the bytes go in as they are, the schema says Audio."""
    as_stored = {
        name: {"bytes": Value("binary"), "path": Value("string")} if isinstance(feature, Audio) else feature
        for name, feature in features.items()
    }
    table = Dataset.from_list(rows, features=Features(as_stored)).data.table
    pq.write_table(table.replace_schema_metadata(features.arrow_schema.metadata), path, row_group_size=2)


def write_geosound(folder: Path, *, train: int = 7, validation: int = 2, test: int = 5) -> Path:
    """GeoSound's schema with few rows; ids are numbered through the splits."""
    numbers: Iterator[int] = iter(range(train + validation + test))
    counts = {"train": train, "validation": validation, "test": test}
    rows = {split: [geosound_row(next(numbers)) for _ in range(count)] for split, count in counts.items()}
    return write_shards(folder, rows, GEOSOUND)


def write_sounding_earth(folder: Path, *, test: int = 4) -> Path:
    """SoundingEarth's schema with few rows."""
    rows = {split: [sounding_earth_row(index) for index in range(test)] for split in ("train", "validation", "test")}
    return write_shards(folder, rows, SOUNDING_EARTH)
