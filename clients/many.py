"""Embedding many files and texts, whatever is wrong with some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import InvalidItems, InvalidRequest, RequestTooLarge
from sat2sound.clients.input_files import Kind, kind_of
from sat2sound.clients.inputs import file_bytes
from sat2sound.clients.scene import ImageMetadata, scene_of_file
from sat2sound.errors import InvalidInput
from sat2sound.satellite_types import SatelliteType

Floats = npt.NDArray[np.float32]
TOGETHER = 64  # files that are in memory at a time: what the client has in flight


@dataclass(frozen=True)
class Embedded:
    """One input. name: as it was given; kind: image, audio or text; embedding: [D]; error: why there is none."""

    name: str
    kind: str
    embedding: Floats | None
    error: str = ""


@dataclass(frozen=True)
class _Item:
    name: str
    kind: str
    data: Any = None
    options: dict[str, Any] | None = None
    error: str = ""


def embed_texts(client: Sat2SoundClient, texts: Sequence[str]) -> Iterator[Embedded]:
    """Each text in turn. Raises ClientError for what concerns all of them, e.g. no server."""
    yield from _embedded(client, [_Item(text, "text", text) for text in texts])


def embed_files(
    client: Sat2SoundClient, files: Sequence[str], metadata: ImageMetadata, default: SatelliteType
) -> Iterator[Embedded]:
    """Each image and recording in turn; several are on their way at a time.

    metadata: about every image. default: the server's satellite type. A file that cannot be read, or that the server
    refuses, is an Embedded with an error. Raises ClientError for what concerns all of them, e.g. no server.
    """
    for start in range(0, len(files), TOGETHER):
        read = [_read(name, metadata, default) for name in files[start : start + TOGETHER]]
        yield from _embedded(client, read)


def _read(name: str, metadata: ImageMetadata, default: SatelliteType) -> _Item:
    path = Path(name)
    kind: Kind | str = ""
    try:
        kind = kind_of(path)
        if kind == "audio":
            return _Item(name, kind, file_bytes(path)[0])
        scene = scene_of_file(path, metadata, default)
        return _Item(name, kind, scene.data, scene.metadata.options())
    except InvalidInput as error:
        return _Item(name, kind, error=str(error))


def _embedded(client: Sat2SoundClient, items: Sequence[_Item]) -> Iterator[Embedded]:
    calls: dict[str, Callable[[list[_Item]], Floats]] = {
        "image": lambda some: client.embed_satellite([item.data for item in some], **_columns(some)),
        "audio": lambda some: client.embed_audio([item.data for item in some]),
        "text": lambda some: client.embed_text([item.data for item in some]),
    }
    results: dict[int, Embedded] = {}
    for kind, call in calls.items():
        places = [place for place, item in enumerate(items) if item.kind == kind and not item.error]
        if places:
            rows, errors = _served(call, [items[place] for place in places])
            for index, place in enumerate(places):
                row = None if index in errors else rows[index]
                results[place] = Embedded(items[place].name, kind, row, errors.get(index, ""))
    for place, item in enumerate(items):
        yield results.get(place) or Embedded(item.name, item.kind, None, item.error)


def _served(call: Callable[[list[_Item]], Floats], items: list[_Item]) -> tuple[Any, dict[int, str]]:
    """One row for each item, and why there is none."""
    try:
        return call(items), {}
    except InvalidItems as error:
        return error.results, error.items
    except (InvalidInput, InvalidRequest, RequestTooLarge) as error:
        if len(items) == 1:
            return [None], {0: str(error)}
    rows: list[Any] = []  # the refusal does not say which items it means: one by one
    errors: dict[int, str] = {}
    for index, item in enumerate(items):
        (row,), failed = _served(call, [item])
        rows.append(row)
        errors |= {index + place: reason for place, reason in failed.items()}
    return rows, errors


def _columns(items: Sequence[_Item]) -> dict[str, Any]:
    """The options of several images, one list for each."""
    options = [item.options or {} for item in items]
    return {name: [each[name] for each in options] for name in options[0]}
