"""One question about one place, as the JSON of the v1 protocol puts it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sat2sound.contract import DEFAULT_TOP_K
from sat2sound.errors import InvalidInput

OPTIONS = ("satellite", "zoom_level", "gsd", "latitude", "longitude", "month", "hour", "audio_source", "caption_source")
KEYS = ("image", "image_uri", *OPTIONS, "top_k", "queries", "embedding")
_MAX_QUERIES = 64


@dataclass(frozen=True)
class Instance:
    """image: encoded bytes, or None; image_uri: a reference, or None; neither: the place at latitude, longitude.

    options: what is known about the image, by the wire contract's lower-case names. top_k: how many sounds; 0 for none.
    queries: texts to score. embedding: whether to return it.
    """

    image: bytes | None
    image_uri: str | None
    options: Mapping[str, Any]
    top_k: int
    queries: tuple[str, ...]
    embedding: bool

    @classmethod
    def from_json(cls, entry: Any) -> Instance:
        """Raises InvalidInput for what is not such an object; values of options are judged by the server."""
        if not isinstance(entry, dict):
            raise _wrong(f"an instance is {type(entry).__name__}", "an object with some of " + ", ".join(KEYS))
        unknown = sorted(set(entry) - set(KEYS))
        if unknown:
            raise _wrong(f"unknown keys {unknown}", "some of " + ", ".join(KEYS))
        queries = entry.get("queries", [])
        if not isinstance(queries, list) or not all(isinstance(text, str) for text in queries):
            raise _wrong("queries is not a list of texts", 'e.g. ["birds chirping", "traffic"]')
        if len(queries) > _MAX_QUERIES:
            raise _wrong(f"{len(queries)} queries", f"at most {_MAX_QUERIES}")
        top_k = entry.get("top_k", 0 if queries or entry.get("embedding") else DEFAULT_TOP_K)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 0:
            raise _wrong(f"top_k is {str(top_k)[:80]}", "a whole number, 0 for no ranking")
        uri = entry.get("image_uri")
        if uri is not None and (not isinstance(uri, str) or "image" in entry):
            raise _wrong("image_uri is no text, or comes together with image", "one of the two")
        image = _image(entry["image"]) if "image" in entry else None
        options = {name: entry[name] for name in OPTIONS if entry.get(name) is not None}
        if image is None and uri is None and not {"latitude", "longitude"} <= options.keys():
            raise _wrong("there is no image", "image, image_uri, or latitude and longitude")
        return cls(image, uri, options, top_k, tuple(queries), entry.get("embedding") is True)


def parsed_instance(text: bytes | str) -> Any:
    """An instance's JSON text as a value; the InvalidInput that says why it is none, so that others are answered."""
    try:
        return json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return _wrong(f"an instance is no JSON ({str(error)[:100]})", "an object with some of " + ", ".join(KEYS))


def _image(value: Any) -> bytes:
    text = value.get("b64") if isinstance(value, dict) and set(value) == {"b64"} else value
    if not isinstance(text, str):
        raise _wrong("image is neither base64 text nor {'b64': ...}", "the encoded file's bytes as base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("image is not valid base64", "the encoded file's bytes as base64") from None


def _wrong(problem: str, expected: str) -> InvalidInput:
    return InvalidInput(problem, expected=expected, fix="correct the instance; docs/gateway.md shows examples")
