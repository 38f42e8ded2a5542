"""What can go wrong with a map, beside bad input (InvalidInput) and the server (ClientError).

Sat2SoundError
`-- MapError                 base of all below
    |-- NotAMap                  the path holds no map that this version can read
    |-- MapInUse                 another run is writing to it
    |-- OtherMap                 it was begun with another plan: another grid, imagery, or metadata
    |-- OtherModel               it was made by another model than the server serves
    |-- ImageryError             the imagery cannot be opened or searched
    `-- StorageFailed            it could not be written: disk full, or not allowed
"""

from __future__ import annotations

from sat2sound.errors import Sat2SoundError


class MapError(Sat2SoundError):
    """Base. problem: what happened; fix: what to do."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; to fix it, {fix}")


class NotAMap(MapError):
    """The path holds no map that can be read."""


class MapInUse(MapError):
    """Another run is writing to this map."""


class OtherMap(MapError):
    """The map was begun with another plan."""


class OtherModel(MapError):
    """The map was made by another model than the server serves."""


class ImageryError(MapError):
    """The imagery cannot be opened, or its catalogue cannot be searched."""


class StorageFailed(MapError):
    """The map could not be written."""
