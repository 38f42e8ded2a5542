"""docs/maps.md and its example run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio
from made_inputs import recording
from made_maps import cell_colours, coloured_cells, write_raster
from pyproj import Transformer
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import box, mapping
from shared_data import ROOT

TEXT = (ROOT / "docs" / "maps.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands of the documentation want to find."""
    path = tmp_path_factory.mktemp("maps")
    with rasterio.open(write_raster(path / "town.tif", coloured_cells(cell_colours(2, 2)))) as raster:
        bounds = Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True).transform_bounds(*raster.bounds)
    (path / "gulls.wav").write_bytes(recording(2.0))
    district = {"type": "Feature", "properties": {"name": "all"}, "geometry": mapping(box(*bounds))}
    (path / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [district]}))
    return path


@pytest.fixture(scope="module")
def after_commands(folder: Path, tiny_server: Any) -> Path:
    """The folder after the documentation's commands."""
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    program = Path(sys.executable).with_name("sat2sound")
    environment = {**os.environ, "SAT2SOUND_SERVER": tiny_server.grpc_url}
    commands = [shlex.split(line) for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        written = folder / command[command.index("--out") + 1]
        assert written.exists()
        if written.suffix == ".tif":
            assert cog_validate(written, strict=True)[0]
    return folder


def test_commands(after_commands: Path) -> None:
    folder = after_commands
    with rasterio.open(folder / "map.tif") as raster:
        assert raster.descriptions == ("waves on a beach", "traffic", "gulls.wav")
    places = json.loads((folder / "places.geojson").read_text())["features"]
    assert 1 <= len(places) <= 5
    (zone,) = json.loads((folder / "traffic.zones.geojson").read_text())["features"]
    assert zone["properties"]["traffic: mean"] == pytest.approx(zone["properties"]["traffic: max"], abs=0.5)
    assert (folder / "town.stac.json").exists()


def test_python(folder: Path, tiny_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block.replace("localhost:8001", tiny_server.grpc_url), "maps.md", "exec"), {})  # noqa: S102


def test_the_example(tiny_server: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "examples" / "maps.py"],
        cwd=tmp_path,
        env={**os.environ, "SAT2SOUND_SERVER": tiny_server.grpc_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "best cell: x = 500" in done.stdout
    with rasterio.open(tmp_path / "sea.tif") as raster:
        assert raster.crs.to_epsg() == 32614


def test_the_item_is_valid_stac(after_commands: Path) -> None:
    import pystac

    item = pystac.Item.from_file(str(after_commands / "town.stac.json"))
    assert item.assets["embeddings"].media_type == "application/vnd.zarr; version=3"
    assert item.properties["emb:dimensions"] == 256
    assert item.properties["sat2sound:cells"]["pending"] == 0
    assert item.bbox is not None
    assert 14.9 < item.bbox[0] < item.bbox[2] < 15.1
    # Its extensions' schemas are on the network; that of STAC itself comes with pystac.
    item.stac_extensions = []
    assert item.validate() == ["https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"]
    assert [link.rel for link in item.links if link.rel != "self"] == ["emb:model", "emb:source-data"]
