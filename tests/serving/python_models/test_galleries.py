"""Captions of the gallery that was ranked, also of one that is published beside the loaded one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_repository import CONFIG, ENTRIES, tiny_gallery

from sat2sound.gallery import Gallery, make_gallery, write_gallery
from sat2sound.serving.python_models.galleries import GALLERY_FILE, Galleries, GalleryMismatch


def gallery_of(version: int) -> Gallery:
    old = tiny_gallery()
    entries = [replace(entry, id=f"v{version}-{row}") for row, entry in enumerate(old.entries)]
    return make_gallery(entries, np.roll(old.embeddings, version, axis=0), CONFIG.name)


def add(folder: Path, name: str, version: int) -> bytes:
    gallery = gallery_of(version)
    (folder / name).mkdir()
    write_gallery(folder / name / GALLERY_FILE, gallery)
    return gallery.digest


def digests(*rows: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), 32)


def test_each_gallery_has_its_captions(tmp_path: Path) -> None:
    first = add(tmp_path, "1", 1)
    galleries = Galleries(tmp_path / "1")
    ids, captions, sounds = galleries.columns(digests(first, first))
    assert [len(column) for column in (ids, captions, sounds)] == [ENTRIES] * 3
    assert ids[3] == b"v1-3"
    unknown = gallery_of(2).digest
    with pytest.raises(
        GalleryMismatch, match=f"ranks gallery {unknown.hex()[:12]}, captions are of {first.hex()[:12]}"
    ):
        galleries.columns(digests(unknown))
    add(tmp_path, "2.new", 2)  # not there as a whole yet
    with pytest.raises(GalleryMismatch):
        galleries.columns(digests(unknown))
    (tmp_path / "2.new").rename(tmp_path / "2")
    assert galleries.columns(digests(unknown))[0][3] == b"v2-3"
    assert galleries.columns(digests(first))[0][3] == b"v1-3"
    assert Galleries(tmp_path / "2").columns(digests(first))[0][3] == b"v1-3"  # what the old version still ranks


def test_one_request_has_rows_of_one_gallery(tmp_path: Path) -> None:
    first, second = add(tmp_path, "1", 1), add(tmp_path, "2", 2)
    with pytest.raises(GalleryMismatch, match=" and "):
        Galleries(tmp_path / "1").columns(digests(first, second))


def test_a_damaged_gallery_beside_it_does_no_harm(tmp_path: Path) -> None:
    first = add(tmp_path, "1", 1)
    galleries = Galleries(tmp_path / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / GALLERY_FILE).write_bytes(b"no gallery")
    with pytest.raises(GalleryMismatch):
        galleries.columns(digests(bytes(32)))
    third = add(tmp_path, "3", 3)
    assert galleries.columns(digests(third))[0][0] == b"v3-0"
    assert galleries.columns(digests(first))[0][0] == b"v1-0"
