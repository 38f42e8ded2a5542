"""The gallery's Parquet file: what is written is read back, what is no gallery is refused."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sat2sound.errors import ConfigurationError
from sat2sound.gallery import Gallery, GalleryEntry, make_gallery, read_gallery, write_gallery
from sat2sound.serving.environment import ServingEnvironment

ROWS, WIDTH = 4, 8
Floats = npt.NDArray[np.float32]


def unit_vectors(seed: int = 0) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((ROWS, WIDTH))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


ENTRIES = (
    GalleryEntry("beach-001", "Surf.", latitude=36.6, longitude=-121.9, tags="beach sea"),
    GalleryEntry("forest-001", "鳥の声", licence="CC-BY-4.0"),
    GalleryEntry("road-001", "Traffic, horns.", sound="https://example.org/road.ogg"),
    GalleryEntry("night-001", "Crickets."),
)


def gallery() -> Gallery:
    return make_gallery(ENTRIES, unit_vectors(), "starter")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_gallery(tmp_path / "gallery.parquet", gallery())
    return tmp_path / "gallery.parquet"


def rewritten(file: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    pq.write_table(change(pq.read_table(file)), file)
    return file


def with_column(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


def embeddings(values: npt.NDArray[np.floating]) -> Callable[[pa.Table], pa.Table]:
    return with_column("embedding", pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]))


def test_round_trip(file: Path) -> None:
    read = read_gallery(file)
    assert read.entries == ENTRIES
    assert read.model == "starter"
    assert read.embeddings.dtype == np.float32
    assert read.embeddings.flags.writeable
    np.testing.assert_array_equal(read.embeddings, unit_vectors())
    assert read.digest == gallery().digest


def test_file_says_what_it_is(file: Path) -> None:
    schema = pq.read_schema(file)
    assert schema.field("embedding").type == pa.list_(pa.float32(), WIDTH)
    assert schema.metadata == {b"sat2sound_model": b"starter"}
    assert set(schema.names) >= {"id", "modality", "caption", "sound", "latitude", "longitude", "licence"}


def test_row_groups_and_further_columns_do_not_matter(file: Path) -> None:
    table = pq.read_table(file).append_column("note", pa.array(range(ROWS)))
    pq.write_table(table, file, row_group_size=1)
    assert read_gallery(file).digest == gallery().digest


def test_columns_go_over_the_wire_as_bytes() -> None:
    ids, captions, sounds = gallery().columns()
    assert ids[0] == b"beach-001"
    assert captions[1] == "鳥の声".encode()
    assert list(sounds) == [b"", b"", b"https://example.org/road.ogg", b""]


def test_digest_is_sha256_of_the_canonical_content() -> None:
    content = b"starter"
    for entry in ENTRIES:
        for text in (entry.id, entry.caption, entry.sound):
            content += struct.pack("<Q", len(text.encode())) + text.encode()
    content += struct.pack(f"<{ROWS * WIDTH}f", *unit_vectors().ravel())
    assert gallery().digest == hashlib.sha256(content).digest()


def test_digest_sees_every_part() -> None:
    first, *rest = ENTRIES
    changed = (
        replace(first, id="new"),
        replace(first, caption="New."),
        replace(first, sound="https://example.org/new"),
    )
    others = [
        make_gallery(ENTRIES, unit_vectors(), "other"),
        make_gallery(ENTRIES, unit_vectors()[[1, 0, 2, 3]], "starter"),
        make_gallery(ENTRIES[::-1], unit_vectors(), "starter"),
        *(make_gallery((entry, *rest), unit_vectors(), "starter") for entry in changed),
    ]
    assert len({gallery().digest, *(other.digest for other in others)}) == 1 + len(others)


SCRIPT = """if True:
    import pathlib, sys
    import numpy
    from sat2sound.gallery import read_gallery
    gallery = read_gallery(pathlib.Path(sys.argv[1]))
    print(numpy.__version__, gallery.digest.hex(), gallery.embeddings.shape, "torch" in sys.modules)
"""


def test_serving_environment_reads_the_same(file: Path, triton_environment: ServingEnvironment) -> None:
    done = subprocess.run(
        [str(triton_environment.prefix / "bin" / "python"), "-c", SCRIPT, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    version, digest, shape = done.stdout.split(maxsplit=2)
    assert version.startswith("1.26.")
    assert digest == gallery().digest.hex()
    assert shape.strip() == f"({ROWS}, {WIDTH}) False"


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("id", ["a", None, "c", "d"], "entry 1: id is None, expected text"),
        ("id", ["a", "b", "b", "d"], "some ids occur twice"),
        ("id", [1, 2, 3, 4], "entry 0: id is 1, expected text"),
        ("caption", ["a", "b", " ", "d"], "entry 2: caption must not be empty"),
        ("caption", ["a", "b", "c", "x" * 2001], "entry 3: caption has 2001 characters, at most 2000"),
        ("caption", ["a\x1b[31m", "b", "c", "d"], r"entry 0: caption contains the character '\\x1b'$"),
        ("caption", [b"\xff", b"b", b"c", b"d"], "entry 0: caption is b'.xff', expected text"),
        ("sound", [None] * 4, "entry 0: sound is None, expected text"),
        ("modality", ["text", "text", "audio", "text"], "mixes audio, text"),
        ("modality", ["image"] * 4, "entry 0: modality is 'image', expected text or audio"),
        ("modality", ["text", None, "text", "text"], "entry 1: modality is None, expected text"),
        ("latitude", [400.0] * 4, "entry 0: latitude is 400.0, expected degrees from -90 to 90"),
        ("latitude", ["north"] * 4, "entry 0: latitude is 'north', expected degrees"),
        ("longitude", [None] * 4, "entry 0: give latitude and longitude together, or neither"),
    ],
)
def test_entries_of_foreign_files_are_checked(file: Path, column: str, values: list[object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_gallery(rewritten(file, with_column(column, pa.array(values))))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.drop_columns(["caption"]), "0 columns 'caption', not one"),
        (lambda table: table.drop_columns(["embedding"]), "0 columns 'embedding', not one"),
        (lambda table: table.append_column("id", table.column("id")), "2 columns 'id', not one"),
        (lambda table: table.slice(0, 0), "no entries"),
        (lambda table: table.replace_schema_metadata(None), "does not say which model made its embeddings"),
        (lambda table: table.replace_schema_metadata({"sat2sound_model": b"\xff"}), "not a readable Parquet file"),
        (embeddings(unit_vectors().astype(np.float64)), "fixed_size_list<element: double>"),
        (embeddings(unit_vectors() * 2), "lengths 2.000 to 2.000, not 1"),
        (embeddings(np.full((ROWS, WIDTH), np.nan, np.float32)), "lengths nan to nan, not 1"),
        (embeddings(np.zeros((ROWS, WIDTH), np.float32)), "lengths 0.000 to 0.000, not 1"),
        (with_column("embedding", pa.array(unit_vectors().tolist())), "expected fixed-size float32 lists"),
        (
            with_column(
                "embedding", pa.array([None, *unit_vectors()[1:].tolist()], type=pa.list_(pa.float32(), WIDTH))
            ),
            "1 entries have no embedding",
        ),
    ],
)
def test_files_that_are_no_gallery_are_refused(
    file: Path, change: Callable[[pa.Table], pa.Table], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_gallery(rewritten(file, change))


def test_text_that_is_not_utf8_is_refused(file: Path) -> None:
    offsets = pa.py_buffer(np.arange(ROWS + 1, dtype=np.int32).tobytes())
    broken = pa.Array.from_buffers(pa.string(), ROWS, [None, offsets, pa.py_buffer(b"\xff\xfe\xfdx")])
    with pytest.raises(ConfigurationError, match="Invalid UTF8"):
        read_gallery(rewritten(file, with_column("caption", broken)))


def test_size_is_checked_before_the_data_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2sound.gallery.table.MAX_NUMBERS", ROWS * WIDTH - 1)
    damaged = bytearray(file.read_bytes())
    damaged[4:64] = bytes(60)  # the first column's data: reading it would be the first thing to fail
    file.write_bytes(damaged)
    with pytest.raises(ConfigurationError, match=f"4 embeddings of 8 numbers, at most {ROWS * WIDTH - 1} in all"):
        read_gallery(file)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1", b"id,caption\na,b\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a readable Parquet file"):
        read_gallery(tmp_path / "other")


@pytest.mark.parametrize("name", ["absent.parquet", "."])
def test_a_path_that_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a readable Parquet file"):
        read_gallery(tmp_path / name)


def test_damaged_files_never_raise_anything_else(file: Path) -> None:
    random = np.random.default_rng(3)
    sound = file.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[random.integers(len(sound))] ^= int(random.integers(1, 256))
        file.write_bytes(damaged)
        try:
            read_gallery(file)
        except ConfigurationError:
            refused += 1
    assert refused > 150  # the rest hit bytes that nothing depends on, or changed a letter


@pytest.mark.parametrize(
    ("entries", "vectors", "problem"),
    [
        ((), unit_vectors()[:0], "no entries"),
        (ENTRIES, unit_vectors()[:3], r"embeddings are \[3, 8\] for 4 entries"),
        (ENTRIES, unit_vectors()[0], r"embeddings are \[8\] for 4 entries"),
        ((replace(ENTRIES[0], caption="\ud800"),), unit_vectors()[:1], r"contains the character '\\ud800'"),
    ],
)
def test_make_gallery_checks(entries: tuple[GalleryEntry, ...], vectors: Floats, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make_gallery(entries, vectors, "starter")


def test_writing_checks_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not say which model"):
        write_gallery(tmp_path / "gallery.parquet", Gallery(ENTRIES, unit_vectors(), ""))
    assert not (tmp_path / "gallery.parquet").exists()
