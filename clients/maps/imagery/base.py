"""What every source of imagery offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.transform import Affine

from sat2sound.clients.maps.area import Area


@dataclass(frozen=True)
class View:
    """The ground as a camera straight above sees it. pixels: uint8 [H, W, 3], 0 where invalid; valid: bool [H, W]."""

    pixels: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ImageryFacts:
    """What is known before anything is read.

    crs: text, None where there is none of its own (tiles from several zones). area: where it has data.
    bounds: left, bottom, right, top in its own CRS, None without one. metres_per_pixel: on the ground, None if unknown.
    notes: what a person should know before trusting a map made from it.
    """

    crs: str | None
    area: Area | None
    bounds: tuple[float, float, float, float] | None
    metres_per_pixel: float | None
    notes: tuple[str, ...]


class Imagery(Protocol):
    """A source: small, immutable and picklable, so that worker processes can open it for themselves."""

    @property
    def remote(self) -> bool:
        """Whether a view waits for a network, and does not keep a processor busy instead."""
        ...

    def facts(self) -> ImageryFacts:
        """Look at the source. Raises InvalidInput or ImageryError."""
        ...

    def view(self, crs: str, transform: Affine, height: int, width: int) -> View:
        """A picture on a pixel grid of any CRS. Raises OSError or ImageryError if it cannot be read just now."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What identifies it in a map's metadata. Never holds credentials."""
        ...
