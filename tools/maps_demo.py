"""Draw the pictures of docs/maps.md: `make maps-demo`.

With the shared real data: the mosaic of known scenes, the Bali rice fields, NAIP North Dakota and San Francisco Bay.
Without it: the synthetic beach of this project, nine times in a row of seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from benchmarks.map_quality import PROMPTS
from benchmarks.mosaic import write_mosaic
from sat2sound.clients.cli.map_progress import cells_progress, print_report
from sat2sound.clients.cli.terminal import Steps, print_notes
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps import api
from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
from sat2sound.clients.maps.preview import draw_png, read_layers
from sat2sound.clients.sample_scene import sample_scene
from sat2sound.clients.servers import chosen_server

WIDTH = 960  # pixels of a picture


@dataclass(frozen=True)
class Picture:
    """One picture: imagery, what is asked of it, and how. options: of `api.embed`."""

    name: str
    imagery: Path
    texts: tuple[str, ...]
    title: str
    options: dict[str, Any] = field(default_factory=dict)


def real_pictures(data: Path, scratch: Path) -> list[Picture]:
    """The pictures of real data."""
    mosaic = scratch / "mosaic.tif"
    write_mosaic(data, mosaic)
    geotiff = data / "geotiff"
    return [
        Picture("map-mosaic", mosaic, tuple(PROMPTS.values()), "315 test images side by side, one prompt per scene"),
        Picture(
            "map-bali",
            geotiff / "drone_bali_pix4d_0.35m.tif",
            ("birds and frogs in rice fields", "traffic on a road"),
            "Rice fields in Bali, drone, 0.35 m per pixel; one cell every 8 m",
            {"spacing": 8.0},
        ),
        Picture(
            "map-naip",
            geotiff / "m_4709963_se_14_1_20200831.tif",
            ("crickets and wind in farmland", "water birds on a lake"),
            "North Dakota, NAIP at 5 m per pixel: 17 times too coarse for the starter, no claim of quality",
        ),
        Picture(
            "map-san-francisco",
            geotiff / "landsat7_sf_bay_432_false_colour.tif",
            ("waves at sea", "traffic in a city"),
            "San Francisco Bay, Landsat, false colour, 30 m: what the warnings are for",
            {"spacing": 400.0, "area": (-122.55, 37.70, -122.35, 37.85)},
        ),
    ]


def synthetic_picture(scratch: Path) -> Picture:
    """A row of synthetic beaches as a raster."""
    path = scratch / "synthetic.tif"
    scene = np.concatenate([np.moveaxis(sample_scene(seed), -1, 0) for seed in range(3)], axis=2)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", height=scene.shape[1], width=scene.shape[2],
        crs="EPSG:32614", transform=Affine(0.3, 0, 500_000, 0, -0.3, 4_400_000), photometric="RGB",
    ) as raster:  # fmt: skip
        raster.write(scene)
        raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    return Picture(
        "map-synthetic",
        path,
        ("waves breaking on a sandy beach", "cars rushing by on a motorway"),
        "Synthetic beaches, drawn by this project: no real place",
        {"spacing": 12.0},
    )


def draw(picture: Picture, client: Sat2SoundClient, scratch: Path, out: Path) -> Path:
    """Embed, ask, draw."""
    store, answer = scratch / f"{picture.name}.zarr", scratch / f"{picture.name}.tif"
    with cells_progress(picture.name) as notify:
        report = api.embed(str(picture.imagery), store, client, notify=notify, warn=print_notes, **picture.options)
    print_report(report, as_json=False)
    answer_queries(store, client, picture.texts, [], answer)
    imagery, _ = choose_imagery(str(picture.imagery), None, ImageryOptions())
    path = draw_png(read_layers(answer, imagery), out / f"{picture.name}.png", title=picture.title)
    with Image.open(path) as large:  # for a document: small, and 256 colours are enough
        width = min(large.width, WIDTH)
        small = large.convert("RGB").resize(
            (width, round(large.height * width / large.width)), Image.Resampling.LANCZOS
        )
    small.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scratch", type=Path, default=Path("build/maps-demo"))
    parser.add_argument("--out", type=Path, help="default: docs/images with the real data, else the scratch folder")
    parser.add_argument("--server")
    chosen = parser.parse_args(arguments)
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    there = (chosen.data / "images.csv").exists()
    pictures = real_pictures(chosen.data, chosen.scratch) if there else [synthetic_picture(chosen.scratch)]
    out = chosen.out or (Path("docs/images") if there else chosen.scratch)
    out.mkdir(parents=True, exist_ok=True)
    with chosen_server(chosen.server, Steps()) as found, Sat2SoundClient(found.url) as client:
        for picture in pictures:
            print(draw(picture, client, chosen.scratch, out))


if __name__ == "__main__":
    main()
