"""Captions by the digest of the gallery that was ranked, so that a new gallery can be published under requests.

Triton swaps `similarity` and `gallery` one after the other, each once it is loaded. In between, a request meets the new
version of one and the old version of the other (seen with four callers: each failed). Its rows are of the gallery whose
digest comes with them, and that one's captions lie in a version folder of their own: they are read from there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sat2sound.errors import ConfigurationError, Sat2SoundError
from sat2sound.gallery import read_gallery

GALLERY_FILE = "gallery.parquet"
Columns = tuple[np.ndarray, ...]


class GalleryMismatch(Sat2SoundError):
    """The rows index a gallery whose captions are in none of the version folders."""


class Galleries:
    """The gallery of one version folder, and of those beside it when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        own = read_gallery(folder / GALLERY_FILE)
        self._own, self._known = own.digest, {own.digest: own.columns()}
        self._beside: list[tuple[Path, int]] = []  # files of the last look, and when they had been written

    def columns(self, digests: np.ndarray) -> Columns:
        """Ids, captions and sounds of the gallery that a request's rows are of, object [rows] each.

        digests: uint8 [B, 32], of each item. Raises GalleryMismatch.
        """
        asked = {row.tobytes() for row in digests}
        if len(asked) == 1:
            (digest,) = asked
            if digest not in self._known:
                self._look_beside()
            if digest in self._known:
                return self._known[digest]
        ranked = " and ".join(sorted(digest.hex()[:12] for digest in asked))
        raise GalleryMismatch(
            f"similarity ranks gallery {ranked}, captions are of {self._own.hex()[:12]}; "
            "publish both version folders of a gallery before loading the ensembles"
        )

    def _look_beside(self) -> None:
        """Read the galleries of the other versions, unless nothing has changed since the last look."""
        files = self._folder.parent.glob(f"*/{GALLERY_FILE}")
        others = [file for file in sorted(files) if file.parent.name.isdigit() and file.parent != self._folder]
        beside = [(file, file.stat().st_mtime_ns) for file in others]
        if beside == self._beside:
            return
        self._beside = beside
        found = {self._own: self._known[self._own]}
        for file in others:
            try:
                gallery = read_gallery(file)
            except ConfigurationError:  # being written, or another version's problem
                continue
            found[gallery.digest] = gallery.columns()
        self._known = found
