"""`sat2sound map` as a person runs it: outputs, exit codes, one readable line for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_maps import cell_colours, coloured_cells, damage_last_tile, write_raster
from typer.testing import CliRunner, Result

from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.cli.main import app

COMMAND = Path(sys.executable).with_name("sat2sound")


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("SAT2SOUND_")}
    return subprocess.run(
        [COMMAND, "map", *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd,
        env={**known, "COLUMNS": "120", "NO_COLOR": "1"}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["embed", "query", "preview"])
def test_every_command_has_help_with_an_example(command: str, tmp_path: Path) -> None:
    done = run(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"sat2sound map {command}" in done.stdout.split("Example")[1]


def test_a_report_of_what_is_missing(tiny_server: Any, tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "a.tif", coloured_cells(cell_colours(9, 9)))
    whole = raster.read_bytes()
    damage_last_tile(raster)
    embed = ("embed", "--imagery", raster, "--out", "a.zarr", "--server", tiny_server.grpc_url)
    done = run(*embed, cwd=tmp_path)
    assert done.returncode == ExitCode.INCOMPLETE
    assert "a.zarr: 80 of 81 cells embedded" in done.stdout
    assert "1 failed (masked; --retry-failed takes them up again): the imagery cannot be read" in done.stdout
    assert "81/81" in done.stderr  # the progress bar
    query = ["map", "query", str(tmp_path / "a.zarr"), "--text", "a", "--out", str(tmp_path / "a-map.tif"), *embed[-2:]]
    asked = CliRunner().invoke(app, query, catch_exceptions=False)
    assert asked.exit_code == 0, asked.stderr
    assert "of 81 cells 1 are failed, and have no score" in " ".join(asked.stderr.split())
    raster.write_bytes(whole)
    report = json.loads(run(*embed, "--retry-failed", "--json", cwd=tmp_path).stdout)
    assert report["complete"] is True
    assert report["embedded_now"] == 1
    assert report["cells"] == {"pending": 0, "done": 81, "nodata": 0, "failed": 0}


def failed(done: Result, code: ExitCode, said: str) -> None:
    assert done.exit_code == code, done.stderr
    assert said in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_mistakes_end_with_their_code_and_one_line(
    tiny_server: Any, made_map: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, since starting a Python for each takes seconds."""
    raster, store = made_map.raster, made_map.store
    to = ("--server", tiny_server.grpc_url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def here(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["map", *map(str, arguments)], catch_exceptions=False)

    def embed(*options: object) -> Result:
        return here("embed", "--imagery", raster, "--out", "new.zarr", *options, *to)

    failed(embed("--bbox", "1,2,3,4"), ExitCode.INVALID, "error: the area 1,2,3,4 lies outside the imagery")
    failed(embed("--bbox=170,-10,-170,10"), ExitCode.INVALID, "crosses the antimeridian")
    failed(embed("--bbox", "7,47,7,47"), ExitCode.INVALID, "has no area")
    failed(embed("--bbox", "7,47"), ExitCode.INVALID, "expected west,south,east,north")
    failed(embed("--bbox", "west"), ExitCode.INVALID, "--bbox wants numbers separated by commas")
    failed(embed("--bbox", "7,47,8,48", "--area", "a.geojson"), ExitCode.INVALID, "--bbox or --area, not both")
    failed(embed("--area", "absent.geojson"), ExitCode.INVALID, "cannot be read")
    failed(embed("--bands", "1,2,9"), ExitCode.INVALID, "three numbers from 1 to 3")
    failed(embed("--bands", "1.5,2,3"), ExitCode.INVALID, "--bands wants whole numbers")
    failed(embed("--month", "13"), ExitCode.INVALID, "month is 13")
    failed(embed("--spacing", "0"), ExitCode.INVALID, "the spacing is 0 metres")
    failed(embed("--spacing", "0.0001"), ExitCode.INVALID, "choose a greater --spacing")
    failed(embed("--zoom-level", "11"), ExitCode.INVALID, "zoom level is 11")
    failed(embed("--dtype", "int4"), ExitCode.INVALID, "one of float32, float16, int8")
    failed(embed("--min-valid", "0"), ExitCode.INVALID, "least valid share")
    failed(embed("--scheduler", "tcp://127.0.0.1:9"), ExitCode.INVALID, "no Dask scheduler answers")
    other = ("embed", "--imagery", raster, "--out", store, "--month", "7", *to)
    failed(here(*other), ExitCode.INVALID, "month was None and is now 7")
    nowhere = here("embed", "--imagery", raster, "--out", "n.zarr", "--server", "127.0.0.1:9")
    failed(nowhere, ExitCode.UNAVAILABLE, "error: 127.0.0.1:9")
    failed(here("query", "absent.zarr", "--text", "a", "--out", "a.tif", *to), ExitCode.INVALID,
           "does not exist")  # fmt: skip
    query = ("query", store, "--text", "a", "--out", "a.tif", *to)
    failed(here(*query, "--zones", "absent.geojson"), ExitCode.INVALID, "the zones absent.geojson cannot be read")
    failed(here("query", store, "--out", "a.tif", *to), ExitCode.INVALID, "at least one --text or --audio")
    failed(here(*query, "--audio", "absent.wav"), ExitCode.INVALID, "the recording absent.wav cannot be read")
    failed(here(*query, "--zones-out", "z.geojson"), ExitCode.INVALID, "--zones-out wants --zones")
    failed(here(*query, "--top", "absent/top.geojson"), ExitCode.INVALID, "--top is to lie in absent")
    failed(here("query", store, "--text", "a", "--out", store), ExitCode.INVALID, "--out is the folder")
    failed(embed("--collection", "scenes"), ExitCode.INVALID, "--max-cloud is given, and the imagery is a raster")
    tiles = ("embed", "--imagery", "http://127.0.0.1:9/{z}/{x}/{y}.png", "--out", "t.zarr", "--bbox", "7,47,8,48", *to)
    failed(here(*tiles, "--bands", "1,2,3"), ExitCode.INVALID, "--bands is given, and the imagery is a tile service")
    failed(here("preview", "absent.tif", "--out", "a.png"), ExitCode.INVALID, "cannot read absent.tif")
    failed(here("preview", "absent.tif", "--out", "a.gif"), ExitCode.INVALID, ".png or .html")
    assert not (tmp_path / "a.tif").exists()


def test_a_map_of_nothing_says_so(tiny_server: Any, tmp_path: Path) -> None:
    """A raster that is smaller than a crop."""
    raster = write_raster(tmp_path / "a.tif", coloured_cells(cell_colours(1, 1), side=16))
    embed = ("map", "embed", "--imagery", raster, "--out", tmp_path / "a.zarr", "--server", tiny_server.grpc_url)
    done = CliRunner().invoke(app, list(map(str, embed)), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert "0 of 1 cells embedded" in done.stdout
    assert "no cell shows enough imagery" in done.stdout


def test_warnings_are_shown(tiny_server: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 4000, (2, 64, 64)).astype(np.uint16)
    raster = write_raster(tmp_path / "a.tif", random, resolution=10.0, colours=None)
    done = run("embed", "--imagery", raster, "--out", "a.zarr", "--server", tiny_server.grpc_url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "note: the raster has 2 bands: the first is shown as grey" in said
    assert "note: uint16 values are stretched to 8 bits" in said
    assert "note: the imagery has 10 m per pixel, 33 times coarser" in said
