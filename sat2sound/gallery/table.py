"""The gallery as a Parquet file: entries with their unit embeddings, of one modality and one model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.errors import ConfigurationError
from sat2sound.gallery.entries import GalleryEntry, check_entry

_MODEL_KEY = b"sat2sound_model"
_UNIT_TOLERANCE = 1e-3
MAX_NUMBERS = 1 << 30  # of all embeddings together: 4 GiB, a million entries of the published models
_TYPES = {"latitude": pa.float64(), "longitude": pa.float64()}


@dataclass(frozen=True)
class Gallery:
    """entries: one per row. embeddings: float32 [n, D], unit length. model: name of the model that made them."""

    entries: tuple[GalleryEntry, ...]
    embeddings: npt.NDArray[np.float32]
    model: str

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over what a ranking shows and what it is computed from: 32 bytes."""
        digest = hashlib.sha256(self.model.encode())
        for entry in self.entries:
            for part in (entry.id, entry.caption, entry.sound):
                encoded = part.encode()
                digest.update(len(encoded).to_bytes(8, "little") + encoded)
        digest.update(np.ascontiguousarray(self.embeddings, dtype="<f4").tobytes())
        return digest.digest()

    def columns(self) -> tuple[npt.NDArray[np.object_], ...]:
        """Ids, captions and sounds as UTF-8 bytes: object [n] each, as they go over the wire."""
        return tuple(
            np.array([getattr(entry, name).encode() for entry in self.entries], dtype=np.object_)
            for name in ("id", "caption", "sound")
        )


def make_gallery(entries: Sequence[GalleryEntry], embeddings: npt.NDArray[np.float32], model: str) -> Gallery:
    """A checked gallery. Raises ConfigurationError: mixed modalities, repeated ids, embeddings not of unit length."""
    gallery = Gallery(tuple(entries), np.asarray(embeddings, dtype=np.float32), model)
    _check(gallery, "the gallery")
    return gallery


def write_gallery(path: Path, gallery: Gallery) -> None:
    """Write the Parquet file. Raises ConfigurationError as `make_gallery`."""
    _check(gallery, str(path))
    width = gallery.embeddings.shape[1]
    columns = {
        field.name: pa.array(
            [asdict(entry)[field.name] for entry in gallery.entries], type=_TYPES.get(field.name, pa.string())
        )
        for field in fields(GalleryEntry)
    }
    flat = pa.array(gallery.embeddings.reshape(-1), type=pa.float32())
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table(columns).replace_schema_metadata({_MODEL_KEY: gallery.model.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_gallery(path: Path) -> Gallery:
    """Read and check a gallery. Raises ConfigurationError for a file that is not one.

    Columns, types and size are checked in the file's footer before any data is read.
    """
    names = [field.name for field in fields(GalleryEntry)]
    try:
        with pq.ParquetFile(path) as file:
            width = _check_schema(file.schema_arrow, file.metadata.num_rows, str(path))
            table = file.read(columns=[*names, "embedding"])
        table.validate(full=True)  # offsets in bounds, text is UTF-8
        model = (table.schema.metadata or {}).get(_MODEL_KEY, b"").decode()
        rows = table.select(names).to_pylist()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ConfigurationError(f"{path} is not a readable Parquet file: {error}") from error
    column = table.column("embedding").combine_chunks()
    if column.null_count:
        raise ConfigurationError(f"{path}: {column.null_count} entries have no embedding")
    # A copy: arrow's own memory is read-only, which torch warns of.
    embeddings = np.array(column.flatten().to_numpy(zero_copy_only=False)).reshape(-1, width)
    gallery = Gallery(tuple(GalleryEntry(**row) for row in rows), embeddings, model)
    _check(gallery, str(path))
    return gallery


def _check_schema(schema: pa.Schema, rows: int, where: str) -> int:
    """The embeddings' width. Raises ConfigurationError if the columns are not a gallery's."""
    for name in (*(field.name for field in fields(GalleryEntry)), "embedding"):
        if schema.names.count(name) != 1:
            raise ConfigurationError(f"{where} is not a gallery: {schema.names.count(name)} columns {name!r}, not one")
    kind = schema.field("embedding").type
    if not isinstance(kind, pa.FixedSizeListType) or kind.value_type != pa.float32() or kind.list_size < 1:
        raise ConfigurationError(f"{where} is not a gallery: embedding is {kind}, expected fixed-size float32 lists")
    if rows * kind.list_size > MAX_NUMBERS:
        raise ConfigurationError(
            f"{where}: {rows} embeddings of {kind.list_size} numbers, at most {MAX_NUMBERS} in all"
        )
    return int(kind.list_size)


def _check(gallery: Gallery, where: str) -> None:
    entries, embeddings = gallery.entries, gallery.embeddings
    if not entries:
        raise ConfigurationError(f"{where}: no entries")
    if not gallery.model:
        raise ConfigurationError(f"{where}: does not say which model made its embeddings")
    if embeddings.ndim != 2 or len(embeddings) != len(entries):
        raise ConfigurationError(f"{where}: embeddings are {list(embeddings.shape)} for {len(entries)} entries")
    for row, entry in enumerate(entries):
        check_entry(entry, f"{where}, entry {row}")
    if len({entry.id for entry in entries}) != len(entries):
        raise ConfigurationError(f"{where}: some ids occur twice")
    modalities = sorted({entry.modality for entry in entries})
    if len(modalities) != 1:
        raise ConfigurationError(
            f"{where}: mixes {', '.join(modalities)}; mixed galleries rank by modality, not by meaning"
        )
    lengths = np.linalg.norm(embeddings, axis=1)
    if not np.all(np.abs(lengths - 1.0) < _UNIT_TOLERANCE):
        raise ConfigurationError(f"{where}: embeddings have lengths {lengths.min():.3f} to {lengths.max():.3f}, not 1")
