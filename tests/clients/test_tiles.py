"""Tiles are fetched from a real HTTP server on this machine."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sat2sound.clients.sample_scene import sample_scene_png
from sat2sound.clients.tiles import (
    METRES_PER_DEGREE,
    NAIP,
    TileError,
    fetch_tile,
    tile_url,
)
from sat2sound.errors import ConfigurationError, InvalidInput


class ImageService(BaseHTTPRequestHandler):
    """Answers by path."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        name = self.path.partition("?")[0].strip("/")
        if name == "redirect":
            self.send_response(302)
            self.send_header("Location", "/tile")
            self.end_headers()
        elif name == "missing":
            self.send_error(503, "Service Unavailable")
        elif name == "error-as-json":
            self._send("application/json", b'{"error":{"code":400,"message":"Invalid bbox"}}')
        elif name == "endless":
            self._drip(b"x" * 65536, 10_000, 0.0)
        elif name == "slow":
            self._drip(b"x", 100, 0.05)
        else:
            self._send("image/png", sample_scene_png())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, piece: bytes, times: int, pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        try:
            for _ in range(times):
                self.wfile.write(piece)
                time.sleep(pause)
        except OSError:
            return  # the client has had enough, which is what the test wants

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    ImageService.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), ImageService) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def test_one_request_returns_the_image(service: ThreadingHTTPServer) -> None:
    template = address(service, "tile?bbox={west:.6f},{south:.6f},{east:.6f},{north:.6f}&size={width},{height}")
    tile = fetch_tile(tile_url(template, 34.0, -118.5, metres=76.8, pixels=256))
    assert tile.data == sample_scene_png()
    assert tile.service == f"127.0.0.1:{service.server_port}"
    assert ImageService.asked == ["/tile?bbox=-118.500416,33.999655,-118.499584,34.000345&size=256,256"]


def test_the_default_covers_the_footprint_on_the_ground() -> None:
    url = tile_url(NAIP, 60.0, 10.0, metres=76.8, pixels=256)
    west, south, east, north = (float(value) for value in url.split("bbox=")[1].split("&")[0].split(","))
    assert (north - south) * METRES_PER_DEGREE == pytest.approx(76.8, abs=0.05)
    assert (east - west) * METRES_PER_DEGREE * math.cos(math.radians(60)) == pytest.approx(76.8, abs=0.05)
    assert url.startswith("https://imagery.nationalmap.gov/")
    assert "adjustAspectRatio=false" in url  # otherwise the service would widen the square to square degrees


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("redirect", "HTTP 302"),
        ("missing", "HTTP 503 Service Unavailable"),
        ("error-as-json", "application/json instead of an image.*Invalid bbox"),
        ("endless", "exceeds 1,000,000 bytes"),
        ("slow", "no complete answer within 0.5 seconds"),
    ],
)
def test_a_bad_answer_is_one_clear_error(service: ThreadingHTTPServer, path: str, said: str) -> None:
    with pytest.raises(TileError, match=said) as caught:
        fetch_tile(address(service, path), timeout=0.5, max_bytes=1_000_000)
    assert "give an image file instead" in str(caught.value)
    assert ImageService.asked == [f"/{path}"]  # one request, whatever happened


def test_nobody_listening() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), ImageService) as server:
        port = server.server_port
    with pytest.raises(TileError, match=r"cannot be reached.*check the network, or give an image"):
        fetch_tile(f"http://127.0.0.1:{port}/tile", timeout=2)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://host/{west}", "must begin with http"),
        ("https://host/{z}/{x}/{y}", r"unknown fields \['x', 'y', 'z'\]"),
        ("https://host/{west", "not a template"),
        ("https://host/{west.__class__}", "unknown fields"),
        ("http:///tile", "name a host"),
    ],
)
def test_a_template_that_cannot_be_used(template: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        tile_url(template, 34.0, -118.5, metres=76.8, pixels=256)


@pytest.mark.parametrize(("latitude", "longitude"), [(91.0, 0.0), (0.0, 181.0), (math.nan, 0.0)])
def test_no_such_place(latitude: float, longitude: float) -> None:
    with pytest.raises(InvalidInput, match="not swapped"):
        tile_url(NAIP, latitude, longitude, metres=76.8, pixels=256)
