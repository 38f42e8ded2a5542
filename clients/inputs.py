"""A caller's values -> the arrays of the wire contract, with the batch dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from sat2sound.contract import CONDITIONS, IMAGE_OPTIONS, IMAGE_SIZE, DataType, Tensor
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.metadata import check_conditions
from sat2sound.serving.python_models.items import each_item

File: TypeAlias = bytes | str | Path  # encoded bytes, or the path of a file that holds them
Value = TypeVar("Value")
PerItem: TypeAlias = Value | Sequence[Value | None] | None  # one value for all items, or one for each (None = unknown)

NUMPY_TYPES: dict[DataType, type] = {
    "BYTES": np.object_,
    "FP32": np.float32,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
}
# What the contract takes for "unknown" where a tensor has to hold something for every item.
MISSING: dict[DataType, Any] = {"BYTES": b"", "INT32": -1, "FP32": math.nan}


def file_bytes(items: File | Sequence[File]) -> list[bytes]:
    """The encoded bytes of one file or of many. Raises InvalidInput naming a path that cannot be read."""
    many = [items] if isinstance(items, bytes | str | Path) else list(items)
    return [item if isinstance(item, bytes) else _read(Path(item)) for item in many]


def file_start(path: Path) -> bytes:
    """The first bytes of a file, enough to tell its format. Raises InvalidInput naming a path that cannot be read."""
    return _read(path, 64)


def _read(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise InvalidInput(
            f"cannot read {path}: {error.strerror or error}", expected="a readable file", fix="check the path"
        ) from None


def bytes_array(items: Sequence[bytes]) -> npt.NDArray[Any]:
    """object [B, 1]. numpy must not look into the bytes: its own bytes type drops trailing zeros."""
    array = np.empty((len(items), 1), dtype=np.object_)
    array[:, 0] = items
    return array


def option_arrays(options: Mapping[str, Any], count: int) -> dict[str, npt.NDArray[Any]]:
    """The optional inputs of an image request: tensor name -> array [count, 1]; left out if all unknown.

    options: lower-case tensor name -> one value for all items, a sequence with one for each, or None.
    """
    arrays = {}
    for tensor in IMAGE_OPTIONS:
        values = _per_item(tensor.name.lower(), options.get(tensor.name.lower()), count)
        if any(value is not None for value in values):
            arrays[tensor.name] = _column(tensor, values)
    return arrays


def _per_item(name: str, value: Any, count: int) -> list[Any]:
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return [value] * count
    if len(value) != count:
        raise InvalidInput(
            f"{name} has {len(value)} values for {count} images",
            expected="one value for all images, or one for each",
            fix="give None for those that are unknown",
        )
    return list(value)


def _column(tensor: Tensor, values: Sequence[Any]) -> npt.NDArray[Any]:
    filled = [MISSING[tensor.datatype] if value is None else value for value in values]
    if tensor.datatype == "BYTES":
        return bytes_array([value if isinstance(value, bytes) else str(value).encode() for value in filled])
    column = column_of(tensor, filled)
    return column.reshape(len(values), 1)


def column_of(tensor: Tensor, values: Any) -> npt.NDArray[Any]:
    """Numbers as the tensor's data type. Raises InvalidInput rather than rounding or wrapping around."""
    whole = tensor.datatype != "FP32"
    try:
        numbers = np.asarray(values, dtype=np.float64)
        fits = _whole_and_in_range(numbers, NUMPY_TYPES[tensor.datatype]) if whole else not np.isinf(numbers).any()
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InvalidInput(
            f"{tensor.name.lower()} is {str(values)[:80]}",
            expected="a whole number" if whole else "a finite number",
            fix=f"give one for {tensor.name.lower()}, or leave it out",
        )
    return numbers.astype(NUMPY_TYPES[tensor.datatype])


def _whole_and_in_range(numbers: npt.NDArray[np.float64], kind: type) -> bool:
    limits = np.iinfo(kind)
    return bool(((numbers == np.round(numbers)) & (numbers >= limits.min) & (numbers <= limits.max)).all())


def pixel_array(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [B, 224, 224, 3]; one image [224, 224, 3] becomes a batch of one. Raises InvalidInput."""
    array = np.asarray(pixels)
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.dtype != np.uint8 or array.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise InvalidInput(
            f"pixels are {array.dtype} {list(array.shape)}",
            expected=f"uint8 [B, {IMAGE_SIZE}, {IMAGE_SIZE}, 3]",
            fix="prepare them with sat2sound.preprocessing.prepare_satellite",
        )
    return np.ascontiguousarray(array)


def embedding_array(vectors: Any, name: str) -> npt.NDArray[np.float32]:
    """float32 [B, ..., D]; a vector [D] becomes a batch of one. name: for the message.

    Raises InvalidInput, naming the items, for vectors that have no direction: zero, or not finite.
    """
    try:
        array = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"{name} are not an array of numbers ({error})",
            expected="vectors of one length",
            fix="pass on what embed_satellite, embed_audio or embed_text return",
        ) from None

    def check(index: int) -> None:
        if not (np.isfinite(array[index]).all() and array[index].any(axis=-1).all()):
            raise InvalidInput(
                f"{name} are zero or not finite",
                expected="finite numbers that are not all zero",
                fix="leave out what was refused when it was embedded (its row is NaN)",
            )

    each_item(len(array), check)
    return array


def condition_arrays(conditions: Any, count: int) -> dict[str, npt.NDArray[np.float32]]:
    """Each input of CONDITIONS as float32 [count, 1].

    conditions: `sat2sound.preprocessing.Conditions` or float [7] in that order for all items, or one of these for each.
    Raises InvalidInput, also for values out of range: the graph behind embed_pixels would take them for missing.
    """
    rows = [conditions] if hasattr(conditions, "as_array") else list(conditions)
    try:
        table = np.asarray([row.as_array() if hasattr(row, "as_array") else row for row in rows], dtype=np.float32)
        table = np.atleast_2d(table)
        given = np.broadcast_to(table, (count, len(CONDITIONS)))
    except (TypeError, ValueError):
        raise InvalidInput(
            f"conditions are {len(rows)} rows for {count} images",
            expected=f"{len(CONDITIONS)} numbers ({', '.join(tensor.name for tensor in CONDITIONS)}) for each image",
            fix="use sat2sound.preprocessing.Conditions; NaN stands for unknown",
        ) from None
    checked = each_item(len(table), lambda index: check_conditions(table[index]).as_array())
    table = np.broadcast_to(np.asarray(checked), given.shape)
    return {tensor.name: np.ascontiguousarray(table[:, [index]]) for index, tensor in enumerate(CONDITIONS)}
