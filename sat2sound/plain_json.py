"""Hyper-parameters as JSON and back: what a Lightning checkpoint may hold under the loader's allow-list."""

from __future__ import annotations

import argparse
import collections
import json
from pathlib import Path, PurePosixPath
from typing import Any

# The key of an object that stands for something that JSON has no word for: {"$tuple": [...]}.
_TUPLE, _PATH, _NAMESPACE, _ITEMS, _ORDERED = "$tuple", "$path", "$namespace", "$items", "$ordered"
_TAGS = (_TUPLE, _PATH, _NAMESPACE, _ITEMS, _ORDERED)


def to_json(value: Any) -> tuple[str, list[str]]:
    """JSON text, and where in the value something cannot be kept: such entries (tensors, for one) become null.

    Kept: None, bool, int, float (also NaN and infinities), str, list, tuple, dict, OrderedDict, Namespace and Path.
    Lightning's AttributeDict comes back as a dict, which Lightning takes as well.
    """
    lost: list[str] = []
    return json.dumps(_encode(value, "hyper_parameters", lost)), lost


def from_json(text: str) -> Any:
    """What `to_json` was given. Raises ValueError for text that it did not write."""
    try:
        return json.loads(text, object_hook=_decode)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not hyper-parameters: {error}") from error


def _encode(value: Any, place: str, lost: list[str]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        items = [_encode(item, f"{place}[{index}]", lost) for index, item in enumerate(value)]
        return items if type(value) is list else {_TUPLE: items}
    if isinstance(value, argparse.Namespace):
        return {_NAMESPACE: _encode(vars(value), place, lost)}
    if isinstance(value, PurePosixPath):
        return {_PATH: str(value)}
    if isinstance(value, dict):
        items = [[_encode(key, place, lost), _encode(item, f"{place}.{key}", lost)] for key, item in value.items()]
        if isinstance(value, collections.OrderedDict):
            return {_ORDERED: items}
        if any(type(key) is not str or key in _TAGS for key in value):
            return {_ITEMS: items}
        return dict(items)
    lost.append(f"{place} ({type(value).__name__})")
    return None


def _decode(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    ((tag, inner),) = found.items()
    if tag == _TUPLE:
        return tuple(inner)
    if tag == _PATH:
        return Path(inner)
    if tag == _NAMESPACE:
        return argparse.Namespace(**inner)
    if tag == _ORDERED:
        return collections.OrderedDict(inner)
    return dict(inner) if tag == _ITEMS else found
