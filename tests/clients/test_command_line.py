"""The `sat2sound` command as a person runs it: outputs, exit codes, one readable line for each mistake."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_inputs
import pytest
from typer.core import TyperGroup
from typer.main import get_group

import sat2sound
from sat2sound.captioning.errors import CaptioningError, EndpointRefused, EndpointUnavailable
from sat2sound.clients import errors
from sat2sound.clients.cli import main
from sat2sound.clients.cli.exit_codes import MEANINGS, ExitCode, exit_code
from sat2sound.clients.tiles import TileError
from sat2sound.errors import ConfigurationError, DatasetError, InvalidInput, Sat2SoundError

COMMAND = Path(sys.executable).with_name("sat2sound")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("SAT2SOUND_")}
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**known, **environment, "COLUMNS": "120", "NO_COLOR": "1"},
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "beach.png"
    path.write_bytes(made_inputs.encoded(made_inputs.picture()))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(group: TyperGroup, *path: str) -> Iterator[str]:
    """Every command that can be run, with the groups before it."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name))


@pytest.mark.parametrize("command", list(commands(get_group(main.app))))
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert f"sat2sound {command}" in done.stdout.split("Example")[1]


def test_help_is_quick_and_lists_commands_and_exit_codes() -> None:
    run("--help")
    start = time.monotonic()
    done = run("--help")
    assert time.monotonic() - start < 2.0  # 0.3 s on an idle machine; torch alone takes longer
    for code, meaning in MEANINGS.items():
        assert str(code.value) in done.stdout
        assert meaning.split(" (")[0][:20] in " ".join(done.stdout.split())
    assert set(MEANINGS) == set(ExitCode)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from sat2sound.clients.cli import main; "
        "print([name for name in ('torch', 'numpy', 'grpc', 'tritonclient', 'rasterio', 'PIL') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_version() -> None:
    for asked in ("version", "--version"):
        done = run(asked)
        assert (done.returncode, done.stdout) == (0, f"sat2sound {sat2sound.__version__}\n")


def test_listen_prints_a_table_or_json(server: Any, image: Path) -> None:
    table = run("listen", image, "--server", server.grpc_url, "--top-k", 3)
    assert table.returncode == 0, table.stderr
    assert len([line for line in table.stdout.splitlines() if line.strip()[:1] in "123"]) == 3
    # The address may come from the environment just as well.
    document = json.loads(run("listen", image, "--top-k", 3, "--json", SAT2SOUND_SERVER=server.grpc_url).stdout)
    assert [entry["rank"] for entry in document["ranking"]] == [1, 2, 3]
    assert document["server"] == server.grpc_url
    assert document["model"] == "starter"
    ignored = run("listen", image, "--month", 7, "--json", "--server", server.grpc_url)
    assert json.loads(ignored.stdout)["notes"] == ["metadata ignored by this model (it was trained without): month"]
    assert document["ranking"][0]["caption"] in table.stdout


def test_score_takes_texts_and_recordings(server: Any, image: Path, tmp_path: Path) -> None:
    wave = tmp_path / "tone.wav"
    wave.write_bytes(made_inputs.recording(2.0))
    queries = ["--text", "birds chirping", "--text", "traffic", "--audio", wave]
    done = run("score", image, *queries, "--server", server.grpc_url, "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert [(entry["query"], entry["kind"]) for entry in scores] == [
        ("birds chirping", "text"),
        ("traffic", "text"),
        (str(wave), "audio"),
    ]
    assert all(-1 <= entry["score"] <= 1 for entry in scores)
    table = run("score", image, *queries, "--server", server.grpc_url).stdout
    assert table.index(max(scores, key=lambda entry: entry["score"])["query"]) < table.index(
        min(scores, key=lambda entry: entry["score"])["query"]
    )


def failed(done: subprocess.CompletedProcess[str], code: ExitCode, said: str) -> None:
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_mistakes_end_with_their_code_and_one_line(server: Any, image: Path, tmp_path: Path) -> None:
    to = ("--server", server.grpc_url)
    text = tmp_path / "notes.txt"
    text.write_text("no image at all")
    failed(run("listen", text, *to), ExitCode.INVALID, "error: the bytes are not an image")
    absent = tmp_path / "absent"
    failed(run("listen", absent, *to), ExitCode.INVALID, f"cannot read {absent}: No such file or directory; expected")
    failed(run("score", image, "--audio", absent, *to), ExitCode.INVALID, f"error: cannot read {absent}: No such file")
    failed(run("listen", tmp_path, *to), ExitCode.INVALID, f"error: cannot read {tmp_path}: Is a directory; expected")
    # Without --server: said before one is built and started, which would take a minute.
    failed(run("listen", text), ExitCode.INVALID, "error: the bytes are not an image")
    failed(run("listen", image, "--month", "13", *to), ExitCode.INVALID, "error: month is 13; expected 1 to 12")
    failed(run("listen", image, "--latitude", "91", "--longitude", "0", *to), ExitCode.INVALID, "latitude is 91")
    failed(run("listen", image, "--top-k", "5000", *to), ExitCode.INVALID, "TOP_K is 5000; expected 1 to")
    failed(run("listen", image, "--server", "http://localhost:8001"), ExitCode.INVALID, "leave out http://")
    failed(run("listen", image, "--deadline", "0", *to), ExitCode.INVALID, "the deadline is 0")
    failed(run("listen", image, "--deadline", "0.0001", *to), ExitCode.DEADLINE, "raise the deadline")
    failed(run("score", image, *to), ExitCode.INVALID, "at least one --text or --audio")
    failed(run("score", image, "--audio", text, *to), ExitCode.INVALID, "not a recording that can be decoded")
    failed(run("score", image, "--text", "", *to), ExitCode.INVALID, "the text is empty")
    failed(run("listen"), ExitCode.INVALID, "Missing argument")
    failed(run("listen", image, "--month", "July"), ExitCode.INVALID, "Invalid value for '--month'")


def test_export_with_a_text_encoder_that_is_not_there_or_does_not_fit(tmp_path: Path) -> None:
    to = ("--out", tmp_path / "repository")
    failed(
        run("export", "--text-encoder", tmp_path / "absent", *to),
        ExitCode.INVALID,
        "Invalid value for '--text-encoder'",
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("export", "--text-encoder", empty, *to)
    assert (done.returncode, done.stdout) == (ExitCode.INVALID, ""), done.stderr
    assert f"text encoder {empty}: tokenizer.json is missing" in " ".join(done.stderr.split())


def test_a_server_that_was_named_is_never_replaced(image: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    failed(run("listen", image, "--server", address), ExitCode.UNAVAILABLE, f"error: {address}")
    failed(run("listen", image, SAT2SOUND_SERVER=address), ExitCode.UNAVAILABLE, "sat2sound serve")


def test_ctrl_c_stops_the_embedded_server(server: Any, tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    options = ["--repository", server.repository, "--out", tmp_path / "out"]
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [COMMAND, "demo", *options],
            stderr=stderr,
            stdout=stderr,
            # A test run in the background of a shell inherits an ignored SIGINT, and would hand it on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 60
        while "(5 of" not in said.read_text():  # half of the models are loaded
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.02)
        family = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == ExitCode.INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert said.read_text().endswith("interrupted\n")
    assert not (tmp_path / "out" / "report.json").exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)


def test_a_repository_that_is_none(tmp_path: Path) -> None:
    for command in ("serve", "demo"):
        done = run(command, "--repository", tmp_path)
        assert done.returncode == ExitCode.INVALID
        assert "is not a built model repository" in done.stderr
    assert list(tmp_path.iterdir()) == []  # and it was not overwritten


def test_a_tile_service_that_does_not_answer(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/{{west}}"
    done = run("demo", "--latitude", "36.9", "--longitude=-122", "--tile-url", address, "--out", tmp_path)
    assert done.returncode == ExitCode.NO_TILE
    assert "error: no tile from 127.0.0.1" in done.stderr
    assert "give an image file instead" in done.stderr
    # The address may come from the environment.
    again = run("demo", "--latitude", "36.9", "--longitude=-122", "--out", tmp_path, SAT2SOUND_TILE_URL=address)
    assert again.returncode == ExitCode.NO_TILE
    assert "error: no tile from 127.0.0.1" in again.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("a", expected="b", fix="c"), ExitCode.INVALID),
        (ConfigurationError("a"), ExitCode.INVALID),
        (DatasetError("a", fix="b"), ExitCode.INVALID),
        (errors.InvalidItems({0: "a"}, None, 1), ExitCode.INVALID),
        (CaptioningError("a", fix="b"), ExitCode.INVALID),
        (EndpointRefused("a", fix="b"), ExitCode.REFUSED),
        (EndpointUnavailable("a", fix="b"), ExitCode.UNAVAILABLE),
        (errors.ServerUnreachable("a"), ExitCode.UNAVAILABLE),
        (errors.ServerOverloaded("a"), ExitCode.UNAVAILABLE),
        (errors.DeadlineExceeded("a"), ExitCode.DEADLINE),
        (errors.ServerFault("a"), ExitCode.REFUSED),
        (errors.AccessDenied("a"), ExitCode.REFUSED),
        (TileError("a", "b"), ExitCode.NO_TILE),
        (Sat2SoundError("a"), ExitCode.NO_SERVER),
        (PermissionError("a"), ExitCode.INVALID),
        (ZeroDivisionError("a"), ExitCode.FAULT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_exit_codes(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) is code
