"""`sat2sound map`: embed an area once, ask it anything, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import ExitCode, readable_errors

app = typer.Typer(
    name="map",
    help="Soundscape maps: embed an area once, ask it anything.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_AREA, _IMAGERY, _RUN = "Area", "Imagery", "Run"

Imagery = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="GeoTIFF or COG (path or http address), tile template with {z} {x} {y}, or stac:ADDRESS of a catalogue.",
        show_default=False,
    ),
]

Bands = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Raster bands, from 1. Default: guessed.", rich_help_panel=_IMAGERY),
]
MaxZoom = Annotated[int, typer.Option(help="Finest level of a tile service.", rich_help_panel=_IMAGERY)]
Collection = Annotated[str | None, typer.Option(help="STAC collection, e.g. sentinel-2-l2a.", rich_help_panel=_IMAGERY)]
Datetime = Annotated[str | None, typer.Option(help="STAC time, e.g. 2024-06-01/2024-08-31.", rich_help_panel=_IMAGERY)]
MaxCloud = Annotated[float | None, typer.Option(help="STAC: most cloud cover in percent.", rich_help_panel=_IMAGERY)]
Assets = Annotated[str, typer.Option(help="STAC: the red, green and blue asset.", rich_help_panel=_IMAGERY)]


@app.command()
@readable_errors
def embed(
    imagery: Imagery,
    out: Annotated[Path, typer.Option(help="The map: a Zarr folder, e.g. area.zarr.", show_default=False)],
    bbox: Annotated[
        str | None,
        typer.Option(metavar="W,S,E,N", help="Box in degrees. Default: the raster's extent.", rich_help_panel=_AREA),
    ] = None,
    area: Annotated[
        Path | None, typer.Option(help="GeoJSON with polygons, instead of a box.", rich_help_panel=_AREA)
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Metres between cells. Default: the crop's footprint.", rich_help_panel=_AREA)
    ] = None,
    zoom_level: Annotated[int, typer.Option(help="1 to 10: how many tiles wide a crop is.", rich_help_panel=_AREA)] = 1,
    min_valid: Annotated[
        float, typer.Option(help="Least share of a crop with data; below, the cell is masked.", rich_help_panel=_AREA)
    ] = 0.75,
    month: options.Month = None,
    hour: options.Hour = None,
    bands: Bands = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="Values that become black and white. Default: percentiles, 8 bits as they are.",
            rich_help_panel=_IMAGERY,
        ),
    ] = None,
    max_zoom: MaxZoom = 18,
    collection: Collection = None,
    datetime: Datetime = None,
    max_cloud: MaxCloud = None,
    assets: Assets = "red,green,blue",
    dtype: Annotated[str, typer.Option(help="How embeddings are kept: int8, float16, float32.")] = "int8",
    concurrency: Annotated[
        int, typer.Option(help="Blocks, and so requests, in flight over all workers.", min=1, rich_help_panel=_RUN)
    ] = 4,
    workers: Annotated[
        int | None,
        typer.Option(help="Local worker processes. Default: one per four cores.", min=1, rich_help_panel=_RUN),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="Dask scheduler, not local workers.", rich_help_panel=_RUN),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for a server that has gone away.", min=0, rich_help_panel=_RUN)
    ] = 300.0,
    retry_failed: Annotated[
        bool, typer.Option(help="Take up cells again that failed in an earlier run.", rich_help_panel=_RUN)
    ] = False,
    as_json: options.Json = False,
    server: options.Address = None,
) -> None:
    """Embed an area: one crop per cell of a regular grid, through the server, into a Zarr store.

    Stopped or killed, the same command goes on where it was. Ends with exit code 9 if cells are missing.

    Examples:

    [cyan]sat2sound map embed --imagery town.tif --out town.zarr[/]

    [cyan]sat2sound map embed --imagery "https://tiles.example/{z}/{x}/{y}.png" --bbox 7.6,47.5,7.7,47.6 --out b.zarr[/]

    [cyan]sat2sound map embed --imagery stac:https://earth-search.aws.element84.com/v1 --collection sentinel-2-l2a
    --datetime 2024-06-01/2024-08-31 --max-cloud 10 --area region.geojson --out region.zarr[/]
    """
    from sat2sound.clients.cli.map_progress import cells_progress, print_report
    from sat2sound.clients.cli.terminal import Steps, print_notes
    from sat2sound.clients.client import Sat2SoundClient
    from sat2sound.clients.maps import api
    from sat2sound.clients.maps.area import area_of_box, area_of_file
    from sat2sound.clients.maps.embedding import RunSettings
    from sat2sound.clients.maps.imagery.choose import ImageryOptions
    from sat2sound.clients.maps.imagery.stac import StacSearch
    from sat2sound.clients.servers import chosen_server

    if bbox and area:
        raise typer.BadParameter("give --bbox or --area, not both")
    region = area_of_box(_numbers(bbox, "--bbox")) if bbox else area_of_file(area) if area else None
    low_high = _numbers(value_range, "--value-range", 2) if value_range else None
    source = ImageryOptions(
        bands=_band_numbers(bands),
        value_range=(low_high[0], low_high[1]) if low_high else None,
        max_zoom=max_zoom,
        search=StacSearch(collection, datetime, max_cloud, bands=tuple(assets.split(","))),
    )
    settings = RunSettings(concurrency, workers, scheduler, patience, retry_failed)
    with (
        chosen_server(server, Steps()) as found,
        Sat2SoundClient(found.url) as client,
        cells_progress("embedding") as notify,
    ):
        report = api.embed(
            imagery,
            out,
            client,
            area=region,
            options=source,
            spacing=spacing,
            zoom_level=zoom_level,
            month=month,
            hour=hour,
            min_valid=min_valid,
            dtype=dtype,
            settings=settings,
            notify=notify,
            warn=lambda notes: print_notes(notes, stderr=True),
        )
    print_report(report, as_json)
    if not report.complete:
        raise typer.Exit(ExitCode.INCOMPLETE)


@app.command()
@readable_errors
def query(
    store: Annotated[Path, typer.Argument(help="A map made by `sat2sound map embed`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="GeoTIFF to write, one band per query.", show_default=False)],
    text: Annotated[
        list[str] | None, typer.Option(help="A sound in words; may be repeated.", show_default=False)
    ] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="A recording; may be repeated.", show_default=False)] = None,
    softmax: Annotated[
        float | None,
        typer.Option(metavar="TEMPERATURE", help="Softmax over the queries, e.g. 0.05. Default: cosine similarities."),
    ] = None,
    top: Annotated[Path | None, typer.Option(help="GeoJSON to write: the best places of each query.")] = None,
    places: Annotated[int, typer.Option(help="How many of them.", min=1)] = 10,
    zones: Annotated[Path | None, typer.Option(help="Layer of polygons to summarise the scores over.")] = None,
    zones_out: Annotated[Path | None, typer.Option(help="Default: OUT with .zones.geojson.")] = None,
    as_json: options.Json = False,
    server: options.Address = None,
) -> None:
    """Score every cell of a map against texts and recordings: a Cloud-Optimized GeoTIFF.

    Examples:

    [cyan]sat2sound map query area.zarr --text "waves on a beach" --audio gulls.wav --out map.tif[/]

    [cyan]sat2sound map query area.zarr --text traffic --out map.tif --top places.geojson --zones districts.geojson[/]
    """
    from sat2sound.clients.cli.map_progress import cells_progress, missing_notes
    from sat2sound.clients.cli.terminal import Steps, print_json, print_notes
    from sat2sound.clients.client import Sat2SoundClient
    from sat2sound.clients.maps.answer import answer_queries
    from sat2sound.clients.maps.places import best_places, write_geojson
    from sat2sound.clients.maps.store import open_map_store
    from sat2sound.clients.maps.zones import read_zones, zonal_statistics
    from sat2sound.clients.servers import chosen_server

    texts, recordings = list(text or ()), list(audio or ())
    if not texts and not recordings:
        raise typer.BadParameter("give at least one --text or --audio")
    if zones_out and not zones:
        raise typer.BadParameter("--zones-out wants --zones, a layer of polygons")
    _check_target("--out", out)
    _check_target("--top", top)
    _check_target("--zones-out", zones_out)
    opened = open_map_store(store)
    layer = read_zones(zones) if zones else None  # before the work: it may be unusable
    print_notes(missing_notes(opened.counts()), stderr=True)
    with (
        chosen_server(server, Steps()) as found,
        Sat2SoundClient(found.url) as client,
        cells_progress("scoring", unit="rows") as notify,
    ):
        answer = answer_queries(store, client, texts, recordings, out, softmax=softmax, notify=notify)
    written: dict[str, Any] = {"map": str(out), **answer.to_json()}
    if top:
        apart = opened.footprint.metres
        written["top"] = str(write_geojson(top, best_places(out, places, apart)))
    if layer is not None:
        target = zones_out or out.with_suffix(".zones.geojson")
        written["zones"] = str(write_geojson(target, zonal_statistics(out, layer)))
    if as_json:
        print_json(written)
    else:
        for name in ("map", "top", "zones"):
            if name in written:
                typer.echo(written[name])


@app.command()
@readable_errors
def preview(
    raster: Annotated[Path, typer.Argument(help="A GeoTIFF made by `sat2sound map query`.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Picture (.png) or page (.html) to write.", show_default=False)],
    imagery: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="What to show beneath, as for `embed`.", show_default=False)
    ] = None,
    bands: Bands = None,
    max_zoom: MaxZoom = 18,
    collection: Collection = None,
    datetime: Datetime = None,
    max_cloud: MaxCloud = None,
    assets: Assets = "red,green,blue",
    percentiles: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Scores at the ends of the colours.")] = "2,98",
    overlay: Annotated[
        list[Path] | None,
        typer.Option(help="Points or polygons to draw over it, e.g. of `query --top`; may be repeated."),
    ] = None,
    title: Annotated[str, typer.Option(help="Title.")] = "",
) -> None:
    """Draw a score raster with legend and scale bar, over the imagery if given.

    Examples:

    [cyan]sat2sound map preview map.tif --imagery town.tif --out map.png[/]

    [cyan]sat2sound map preview map.tif --overlay places.geojson --title "Our town" --out map.html[/]
    """
    from sat2sound.clients.cli.terminal import print_notes
    from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
    from sat2sound.clients.maps.imagery.stac import StacSearch
    from sat2sound.clients.maps.layers import raster_area, read_layers
    from sat2sound.clients.maps.preview import draw_png
    from sat2sound.clients.maps.preview_page import draw_page

    if out.suffix not in (".png", ".html"):
        raise typer.BadParameter("--out must end with .png or .html")
    _check_target("--out", out)
    low, high = _numbers(percentiles, "--percentiles", 2)
    beneath = None
    if imagery:
        search = StacSearch(collection, datetime, max_cloud, bands=tuple(assets.split(",")))
        source = ImageryOptions(_band_numbers(bands), max_zoom=max_zoom, search=search)
        beneath, facts = choose_imagery(imagery, raster_area(raster), source)
        print_notes(facts.notes, stderr=True)
    layers = read_layers(raster, beneath, (low, high), overlay or ())
    typer.echo((draw_png if out.suffix == ".png" else draw_page)(layers, out, title=title))


def _check_target(option: str, path: Path | None) -> None:
    """Before the work, not after it."""
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{option} is the folder {path}; give a file in it")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{option} is to lie in {path.parent}, which is no folder; make it first")


def _band_numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = _numbers(text, "--bands")
    if not all(number.is_integer() for number in numbers):
        raise typer.BadParameter(f"--bands wants whole numbers separated by commas, not {text!r}")
    return [int(number) for number in numbers]


def _numbers(text: str | None, option: str, count: int | None = None) -> list[float]:
    try:
        numbers = [float(part) for part in (text or "").split(",")]
    except ValueError:
        numbers = []
    if not numbers or (count is not None and len(numbers) != count):
        raise typer.BadParameter(f"{option} wants numbers separated by commas, not {text!r}")
    return numbers
