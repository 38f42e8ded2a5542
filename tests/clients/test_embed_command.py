"""`sat2sound embed` as a person runs it: many files, patterns, standard input, one bad file among good ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_inputs
import numpy as np
import pyarrow.parquet as pq
import pytest

from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.input_files import find_files, kind_of, names_in
from sat2sound.errors import InvalidInput
from sat2sound.serving.launcher import TritonServer

COMMAND = Path(sys.executable).with_name("sat2sound")
SAME = 1e-5


def run(
    server: TritonServer, folder: Path, *arguments: object, stdin: bytes = b"", name: str = "embed"
) -> subprocess.CompletedProcess[bytes]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("SAT2SOUND_")}
    command = [str(COMMAND), name, *map(str, arguments), "--server", server.grpc_url]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, timeout=120, env=known)


def rows(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/*: three images; deep/er/: one more, and a recording."""
    folder = tmp_path_factory.mktemp("embed")
    deeper = folder / "photos" / "deep" / "er"
    deeper.mkdir(parents=True)
    picture = made_inputs.picture()
    for index, name in enumerate(("a.png", "b.png", "c.png")):
        (folder / "photos" / name).write_bytes(made_inputs.encoded(picture.rotate(90 * index)))
    (deeper / "d.PNG").write_bytes(made_inputs.encoded(picture.rotate(45)))
    (deeper / "waves.wav").write_bytes(made_inputs.recording(2.0))
    (folder / "photos" / "notes.txt").write_text("no image")
    return folder


def test_patterns_texts_and_recordings_become_one_file(photos: Path, tiny_server: TritonServer) -> None:
    arguments = ("photos/*.png", "photos/deep/er/waves.wav", "--text", "waves", "--out", "all.parquet", "--month", 7)
    done = run(tiny_server, photos, *arguments)
    assert done.returncode == 0, done.stderr
    assert b"5 embedded, 0 failed; written to all.parquet" in done.stderr
    assert done.stdout == b""
    table = pq.read_table(photos / "all.parquet")
    assert table["input"].to_pylist() == [
        "waves", "photos/a.png", "photos/b.png", "photos/c.png", "photos/deep/er/waves.wav",
    ]  # fmt: skip
    assert table["kind"].to_pylist() == ["text", "image", "image", "image", "audio"]
    found = np.array(table["embedding"].to_pylist(), np.float32)
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        images = client.embed_satellite([photos / "photos" / name for name in ("a.png", "b.png", "c.png")], month=7)
        sound = client.embed_audio(photos / "photos/deep/er/waves.wav")
        expected = np.concatenate([client.embed_text("waves"), images, sound])
    assert np.abs(found - expected).max() < SAME


def test_a_folder_and_a_list_on_standard_input(photos: Path, tiny_server: TritonServer) -> None:
    folder = run(tiny_server, photos, "photos", "--json")
    assert folder.returncode == 0, folder.stderr
    names = [row["input"] for row in rows(folder)]
    assert names == sorted(names)
    assert {Path(name).name for name in names} == {"a.png", "b.png", "c.png", "d.PNG", "waves.wav"}
    listed = run(tiny_server, photos, "--files-from", "-", "--json", stdin="\n".join(names).encode() + b"\n\n")
    assert [row["embedding"] for row in rows(listed)] == [row["embedding"] for row in rows(folder)]
    (photos / "list").write_text("\n".join(names[:2]))
    assert [row["input"] for row in rows(run(tiny_server, photos, "--files-from", "list", "--json"))] == names[:2]


def test_an_image_on_standard_input(photos: Path, tiny_server: TritonServer) -> None:
    data = (photos / "photos" / "a.png").read_bytes()
    (row,) = rows(run(tiny_server, photos, "-", "--json", stdin=data))
    assert (row["input"], row["kind"], len(row["embedding"])) == ("-", "image", 256)
    (sound,) = rows(run(tiny_server, photos, "-", "--json", stdin=made_inputs.recording(1.0)))
    assert sound["kind"] == "audio"
    refused = run(tiny_server, photos, "-", "--json")
    assert refused.returncode == ExitCode.INVALID
    assert b"standard input is empty" in refused.stderr


def test_listen_takes_standard_input(photos: Path, tiny_server: TritonServer) -> None:
    data = (photos / "photos" / "a.png").read_bytes()
    piped = run(tiny_server, photos, "-", "--json", stdin=data, name="listen")
    named = run(tiny_server, photos, "photos/a.png", "--json", name="listen")
    assert piped.returncode == 0, piped.stderr
    assert json.loads(piped.stdout)["ranking"] == json.loads(named.stdout)["ranking"]


def test_one_bad_file_leaves_the_others(photos: Path, tiny_server: TritonServer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    names = ["photos/a.png", broken, "absent.png", "photos/notes.txt", "photos/b.png"]
    done = run(tiny_server, photos, *names, "--json", "--out", "some.parquet")
    assert done.returncode == ExitCode.INCOMPLETE
    found = rows(done)
    assert [row["input"] for row in found] == [str(name) for name in names]
    assert ["embedding" in row for row in found] == [True, False, False, False, True]
    assert "damaged" in found[1]["error"]
    assert "cannot read absent.png" in found[2]["error"]
    assert "not an image" in found[3]["error"]
    assert b"2 embedded, 3 failed" in done.stderr
    assert b"failed: absent.png: cannot read" in done.stderr
    assert pq.read_table(photos / "some.parquet")["input"].to_pylist() == ["photos/a.png", "photos/b.png"]
    alone = run(tiny_server, photos, "absent.png", "--json")
    assert alone.returncode == ExitCode.INVALID
    assert b"0 embedded, 1 failed" in alone.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("photos/a.png",), "--json, --out FILE.parquet"),
        (("photos/a.png", "--out", "x.npz"), "x.npz is not a .parquet"),
        (("--json",), "at least one file"),
        (("photos/*.gif", "--json"), "photos/*.gif holds no file"),
        (("-", "--files-from", "-", "--json"), "both an input and the list"),
        (("photos/a.png", "--json", "--latitude", "91", "--longitude", "0"), "latitude is 91"),
    ],
)
def test_wrong_usage(photos: Path, tiny_server: TritonServer, arguments: tuple[str, ...], problem: str) -> None:
    done = run(tiny_server, photos, *arguments)
    assert done.returncode == ExitCode.INVALID
    words = " ".join(done.stderr.decode().replace("│", " ").split())
    assert problem in words


def test_names(tmp_path: Path) -> None:
    (tmp_path / "[1].png").write_bytes(b"")
    assert find_files([f"{tmp_path}/[1].png"]) == [f"{tmp_path}/[1].png"]  # a file of that name is no pattern
    assert find_files(["-", "-", "x.png"]) == ["-", "x.png"]
    assert names_in("a b.png\r\n\n c.png\n") == ["a b.png", " c.png"]
    (tmp_path / "flac").write_bytes(b"fLaC....")
    assert kind_of(tmp_path / "flac") == "audio"
    (tmp_path / "words").write_bytes(b"hello")
    with pytest.raises(InvalidInput, match="not an image"):
        kind_of(tmp_path / "words")
