"""Commands that ask a server about an image."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors

if TYPE_CHECKING:
    from sat2sound.clients.description import ModelDescription


@readable_errors
def listen(
    image: options.Image,
    latitude: options.Latitude = None,
    longitude: options.Longitude = None,
    month: options.Month = None,
    hour: options.Hour = None,
    satellite: options.Satellite = None,
    zoom_level: options.ZoomLevel = None,
    gsd: options.GroundSampleDistance = None,
    top_k: options.TopK = 10,
    as_json: options.Json = False,
    server: options.Address = None,
    deadline: options.DeadlineSeconds = 60.0,
) -> None:
    """Rank the gallery's sounds by how well they fit an image.

    Examples:

    [cyan]sat2sound listen beach.jpg[/]

    [cyan]curl -s https://example.org/tile.png | sat2sound listen - --month 7[/]

    [cyan]sat2sound listen field.tif --month 7 --hour 5 --top-k 3 --json | jq .ranking[/]
    """
    from sat2sound.clients.cli.standard_input import readable
    from sat2sound.clients.cli.terminal import Steps, print_json, print_notes, print_ranking
    from sat2sound.clients.client import Sat2SoundClient
    from sat2sound.clients.scene import ImageMetadata, scene_of_file
    from sat2sound.clients.servers import chosen_server

    metadata = ImageMetadata(satellite, zoom_level, gsd, latitude, longitude, month, hour)
    metadata.check()
    with ExitStack() as stack:
        path = stack.enter_context(readable(image))
        _check_files(path)
        found = stack.enter_context(chosen_server(server, Steps()))
        client = stack.enter_context(Sat2SoundClient(found.url, deadline=deadline))
        scene = scene_of_file(path, metadata, found.expects.satellite)
        (ranking,) = client.retrieve_sounds(scene.data, top_k=top_k, **scene.metadata.options())
        version = client.server_version()
    notes = [*scene.notes, *_ignored(found.model, metadata)]
    if as_json:
        head = {"image": str(image), "server": found.url, "server_version": version, "model": _name(found.model)}
        print_json({**head, "ranking": ranking.to_json(), "notes": notes})
    else:
        print_notes(notes)
        print_ranking(ranking)


@readable_errors
def score(
    image: options.Image,
    text: Annotated[
        list[str] | None, typer.Option(help="A sound in words; may be repeated.", show_default=False)
    ] = None,
    audio: Annotated[
        list[Path] | None, typer.Option(help="A recording (wav, flac, ogg, mp3); may be repeated.", show_default=False)
    ] = None,
    latitude: options.Latitude = None,
    longitude: options.Longitude = None,
    month: options.Month = None,
    hour: options.Hour = None,
    satellite: options.Satellite = None,
    zoom_level: options.ZoomLevel = None,
    gsd: options.GroundSampleDistance = None,
    as_json: options.Json = False,
    server: options.Address = None,
    deadline: options.DeadlineSeconds = 60.0,
) -> None:
    """Score how well given texts and recordings fit an image.

    Examples:

    [cyan]sat2sound score park.jpg --text "birds chirping" --text "traffic"[/]

    [cyan]sat2sound score harbour.png --audio foghorn.wav --server gpu-host:8001[/]
    """
    import numpy as np

    from sat2sound.clients.cli.standard_input import readable
    from sat2sound.clients.cli.terminal import Steps, print_json, print_notes, print_scores
    from sat2sound.clients.client import Sat2SoundClient
    from sat2sound.clients.scene import ImageMetadata, scene_of_file
    from sat2sound.clients.servers import chosen_server

    texts, recordings = list(text or ()), list(audio or ())
    if not texts and not recordings:
        raise typer.BadParameter("give at least one --text or --audio")
    metadata = ImageMetadata(satellite, zoom_level, gsd, latitude, longitude, month, hour)
    metadata.check()
    with ExitStack() as stack:
        path = stack.enter_context(readable(image))
        _check_files(path, *recordings)
        found = stack.enter_context(chosen_server(server, Steps()))
        client = stack.enter_context(Sat2SoundClient(found.url, deadline=deadline))
        scene = scene_of_file(path, metadata, found.expects.satellite)
        queries = [client.embed_text(texts)] if texts else []
        queries += [client.embed_audio(recordings)] if recordings else []
        (scores,) = client.score_queries(scene.data, np.concatenate(queries), **scene.metadata.options())
    named = [(entry, "text") for entry in texts] + [(str(entry), "audio") for entry in recordings]
    notes = [*scene.notes, *_ignored(found.model, metadata)]
    if as_json:
        rows = [
            {"query": name, "kind": kind, "score": round(float(value), 6)}
            for (name, kind), value in zip(named, scores, strict=True)
        ]
        head = {"image": str(image), "server": found.url, "model": _name(found.model)}
        print_json({**head, "scores": rows, "notes": notes})
    else:
        print_notes(notes)
        print_scores(zip((name for name, _ in named), map(float, scores), strict=True))


def _check_files(image: Path, *recordings: Path) -> None:
    """Say that a file is missing, or is no image, before a server is built and started for it."""
    from sat2sound.clients.inputs import file_start
    from sat2sound.preprocessing.image_files import image_format

    image_format(file_start(image))
    for recording in recordings:
        file_start(recording)


def _name(model: ModelDescription | None) -> str | None:
    return model.name if model else None


def _ignored(model: ModelDescription | None, metadata: Any) -> list[str]:
    names = model.ignored(metadata.options()) if model else []
    return [f"metadata ignored by this model (it was trained without): {', '.join(names)}"] if names else []
