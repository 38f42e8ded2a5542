"""From nothing to a report: build what is missing, start a server, ask it about one image, write what it says."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.description import default_description, describe_repository
from sat2sound.clients.report import Report, render_page
from sat2sound.clients.scene import ImageMetadata, Scene, sample, scene_of_file, scene_of_place
from sat2sound.clients.servers import Progress, embedded_server, ready_repository
from sat2sound.clients.stages import measure
from sat2sound.clients.tiles import NAIP
from sat2sound.preprocessing import Limits, decode_image
from sat2sound.satellite_types import SatelliteType

JSON_FILE, PAGE_FILE = "report.json", "report.html"
_DEADLINE_SECONDS = 60.0


def run_demo(
    *,
    image: Path | None,
    metadata: ImageMetadata,
    out: Path,
    repository: Path | None,
    tile_template: str | None,
    top_k: int,
    progress: Progress,
) -> Report:
    """Run the whole demo and leave `report.json` and `report.html` in `out`. Returns what they say.

    image: else a tile of the place in `metadata`, else the bundled scene. repository: else the starter's, built if need
    be. Raises Sat2SoundError and OSError; the server is stopped whatever happens.
    """
    metadata.check()
    expected = describe_repository(repository) if repository else default_description()
    scene = _scene(image, metadata, tile_template or NAIP, expected.satellite, progress)
    decode_image(scene.data, Limits.from_environment())  # what the server would refuse, before one is built
    out.mkdir(parents=True, exist_ok=True)
    with (
        embedded_server(ready_repository(repository, progress), progress) as server,
        Sat2SoundClient(server.url, deadline=_DEADLINE_SECONDS) as client,
    ):
        progress(f"asking which sounds fit: {scene.name}")
        options = scene.metadata.options()
        start = time.perf_counter()
        (ranking,) = client.retrieve_sounds(scene.data, top_k=top_k, **options)
        first = (time.perf_counter() - start) * 1000.0
        progress("measuring the stages")
        times = measure(
            client.connection,
            lambda: client.retrieve_sounds(scene.data, top_k=top_k, **options),
            Deadline(_DEADLINE_SECONDS),
        )
        report = Report(
            image=str(image) if image else scene.name,
            scene=scene,
            ranking=ranking,
            times=times,
            first_request_ms=first,
            server_version=client.server_version(),
            model=server.expects,
            created=datetime.now().astimezone(),
        )
    _write(out / JSON_FILE, json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n")
    _write(out / PAGE_FILE, render_page(report))
    return report


def _scene(
    image: Path | None, metadata: ImageMetadata, template: str, satellite: SatelliteType, progress: Progress
) -> Scene:
    if image is not None:
        return scene_of_file(image, metadata, satellite)
    if metadata.latitude is None and metadata.longitude is None:
        progress("no image and no coordinates: using the bundled synthetic scene")
        return sample(metadata)
    progress(f"fetching one tile of {metadata.latitude}, {metadata.longitude}")
    return scene_of_place(metadata, satellite, template)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a report."""
    with replacing_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
