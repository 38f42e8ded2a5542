"""Commands that run something on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors

_PORTS = "Ports (0 picks a free one)"


@readable_errors
def demo(
    image: Annotated[
        Path | None, typer.Option(help="JPEG, PNG, WebP, TIFF or GeoTIFF of a place.", show_default=False)
    ] = None,
    latitude: options.Latitude = None,
    longitude: options.Longitude = None,
    month: options.Month = None,
    hour: options.Hour = None,
    satellite: options.Satellite = None,
    zoom_level: options.ZoomLevel = None,
    gsd: options.GroundSampleDistance = None,
    tile_url: Annotated[
        str | None,
        typer.Option(
            envvar="SAT2SOUND_TILE_URL",
            help="Image service for coordinates without --image: http(s) address with {west} {south} {east} {north} "
            "{latitude} {longitude} {width} {height}. Default: USGS NAIP (United States).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")] = Path("build/demo"),
    top_k: options.TopK = 10,
    repository: options.Repository = None,
) -> None:
    """Build what is missing, start a server, ask it about one image, write a report, stop the server.

    Without an image: a tile of the place if coordinates are given, else a scene drawn by this program.

    Examples:

    [cyan]sat2sound demo[/]

    [cyan]sat2sound demo --image beach.jpg --month 7 --hour 14[/]

    [cyan]sat2sound demo --latitude 36.96 --longitude=-122.02[/]
    """
    from sat2sound.clients.cli.terminal import Steps, print_notes, print_ranking, print_times
    from sat2sound.clients.demo import JSON_FILE, PAGE_FILE, run_demo
    from sat2sound.clients.scene import ImageMetadata

    report = run_demo(
        image=image,
        metadata=ImageMetadata(satellite, zoom_level, gsd, latitude, longitude, month, hour),
        out=out,
        repository=repository,
        tile_template=tile_url,
        top_k=top_k,
        progress=Steps(),
    )
    typer.echo(f"\n{report.scene.name}: what does it sound like?\n")
    print_notes(report.notes)
    print_ranking(report.ranking)
    typer.echo()
    print_times(report.times.to_json(), report.times.requests)
    typer.echo(f"\nTriton {report.server_version}, model {report.model.name}")
    typer.echo(f"{out / PAGE_FILE}\n{out / JSON_FILE}")


@readable_errors
def serve(
    repository: options.Repository = None,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, rich_help_panel=_PORTS)] = 8001,
    http_port: Annotated[int, typer.Option(min=0, max=65535, rich_help_panel=_PORTS)] = 8000,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, rich_help_panel=_PORTS)] = 8002,
    host: Annotated[
        str, typer.Option(help="Address to listen on. 0.0.0.0: all, without any protection.")
    ] = "127.0.0.1",
    under_make: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the server in the foreground until Ctrl-C.

    Ctrl-C or SIGTERM: readiness goes down, requests in flight finish, then it ends with exit code 0. A second one ends
    it at once.

    Examples:

    [cyan]sat2sound serve[/]

    [cyan]sat2sound serve --repository /models/starter --grpc-port 9001 --http-port 0 --metrics-port 0[/]
    """
    from contextlib import nullcontext

    from sat2sound.clients.cli.foreground import own_terminal, serve_until_told_otherwise
    from sat2sound.clients.cli.terminal import Steps
    from sat2sound.clients.servers import ready_repository

    steps = Steps()
    with own_terminal() if under_make else nullcontext():
        serve_until_told_otherwise(
            ready_repository(repository, steps),
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            host=host,
            progress=steps,
        )


def version() -> None:
    """Print the version of this program.

    Example:

    [cyan]sat2sound version[/]
    """
    import sat2sound

    typer.echo(f"sat2sound {sat2sound.__version__}")


@readable_errors
def convert(
    source: Annotated[str, typer.Argument(help="A .ckpt or .safetensors file, or a hub name.")],
    destination: Annotated[Path, typer.Argument(help="The other kind: .safetensors or .ckpt.")],
) -> None:
    """Convert a published checkpoint to safetensors, or back.

    Examples:

    [cyan]sat2sound convert bingmap_withmeta.ckpt bingmap.safetensors[/]

    [cyan]sat2sound convert bingmap.safetensors again.ckpt[/]
    """
    from sat2sound.convert import convert as convert_checkpoint

    done = convert_checkpoint(source, destination)
    for lost in done.not_kept:
        typer.secho(f"not kept: {lost}", err=True)
    typer.echo(done.path)
