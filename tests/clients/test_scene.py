"""What is sent: files as they are, footprints of rasters, tiles, the sample; and what is refused early."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import made_inputs
import pytest
from PIL import Image
from shared_data import shared_folder

from sat2sound.clients.sample_scene import LABEL
from sat2sound.clients.scene import ImageMetadata, sample, scene_of_file, scene_of_place
from sat2sound.clients.tiles import TileError
from sat2sound.errors import InvalidInput
from sat2sound.satellite_types import SATELLITE_TYPES

AERIAL = SATELLITE_TYPES["aerial"]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (ImageMetadata(latitude=91.0, longitude=0.0), "latitude is 91"),
        (ImageMetadata(latitude=10.0), "latitude came without longitude"),
        (ImageMetadata(month=13), "month is 13"),
        (ImageMetadata(hour=24), "hour is 24"),
        (ImageMetadata(satellite="hubble"), "unknown satellite type"),
        (ImageMetadata(zoom_level=11), "zoom level is 11"),
        (ImageMetadata(gsd=0.0), "GSD is 0"),
        (ImageMetadata(gsd=0.3, zoom_level=2), "came together"),
    ],
)
def test_what_every_server_refuses_is_refused_before_one_is_started(metadata: ImageMetadata, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        metadata.check()


@pytest.mark.parametrize(
    ("metadata", "footprint"),
    [
        (ImageMetadata(), (256, 0.3)),
        (ImageMetadata(zoom_level=3), (768, 0.3)),
        (ImageMetadata(satellite="bingmap", zoom_level=2), (600, 0.6)),
        (ImageMetadata(gsd=1.5), (256, 1.5)),
    ],
)
def test_footprints(metadata: ImageMetadata, footprint: tuple[int, float]) -> None:
    assert metadata.footprint(AERIAL) == footprint


def test_an_image_goes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "beach.png"
    path.write_bytes(made_inputs.encoded(made_inputs.picture()))
    scene = scene_of_file(path, ImageMetadata(month=7), AERIAL)
    assert scene.data == path.read_bytes()
    assert (scene.name, scene.origin, scene.notes) == ("beach.png", "file", ())
    assert scene.metadata == ImageMetadata(month=7)


def test_a_geotiff_goes_as_its_footprint_with_its_place() -> None:
    path = shared_folder("data", "geotiff", "drone_bali_pix4d_0.35m.tif")
    scene = scene_of_file(path, ImageMetadata(zoom_level=2), AERIAL)
    with Image.open(io.BytesIO(scene.data)) as image:
        assert image.size == (512, 512)
    assert scene.metadata.satellite == "aerial"
    assert (scene.metadata.latitude, scene.metadata.longitude) == pytest.approx((-8.585, 115.16077), abs=1e-4)
    by_distance = scene_of_file(path, ImageMetadata(gsd=0.5), AERIAL)
    assert by_distance.metadata.satellite is None  # GSD excludes it
    assert "128 m square" in by_distance.name


def test_the_sample_is_labelled_and_at_its_own_scale() -> None:
    scene = sample(ImageMetadata(gsd=30.0, month=7))
    assert scene.origin == "synthetic"
    assert LABEL in scene.notes
    assert scene.metadata == ImageMetadata(satellite="aerial", month=7)


class Blank(BaseHTTPRequestHandler):
    """Serves a picture, or one colour where it has nothing."""

    def do_GET(self) -> None:
        picture = made_inputs.picture() if "lat=36" in self.path else Image.new("RGB", (256, 256))
        body = made_inputs.encoded(picture)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def template() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{service.server_port}/?lat={{latitude:.0f}}&west={{west}}"
        service.shutdown()
        thread.join()


def test_a_tile_of_a_place(template: str) -> None:
    scene = scene_of_place(ImageMetadata(latitude=36.0, longitude=-122.0), AERIAL, template)
    assert scene.data == made_inputs.encoded(made_inputs.picture())
    assert scene.origin == "tile"
    assert scene.metadata.satellite == "aerial"
    assert "127.0.0.1" in scene.notes[0]
    assert "77 m square" in scene.notes[0]


def test_a_place_that_the_service_does_not_cover(template: str) -> None:
    with pytest.raises(TileError, match=r"no image of 50, 8.*contiguous United States"):
        scene_of_place(ImageMetadata(latitude=50.0, longitude=8.0), AERIAL, template)
