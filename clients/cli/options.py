"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_ABOUT = "About the image"
_SERVER = "Server"
_OUTPUT = "Output"

Image = Annotated[
    Path, typer.Argument(help="JPEG, PNG, WebP, TIFF, GeoTIFF; - for standard input.", show_default=False)
]
Latitude = Annotated[float | None, typer.Option(help="Degrees, -90 to 90.", rich_help_panel=_ABOUT)]
Longitude = Annotated[float | None, typer.Option(help="Degrees, -180 to 180.", rich_help_panel=_ABOUT)]
Month = Annotated[int | None, typer.Option(help="1 to 12.", rich_help_panel=_ABOUT)]
Hour = Annotated[int | None, typer.Option(help="Local hour, 0 to 23.", rich_help_panel=_ABOUT)]
Satellite = Annotated[
    str | None,
    typer.Option(
        help="Image source: bingmap, sentinel, googleEarth, aerial. Default: the model's.", rich_help_panel=_ABOUT
    ),
]
ZoomLevel = Annotated[
    int | None, typer.Option(help="1 to 10: how many tiles wide the crop is. Default: 1.", rich_help_panel=_ABOUT)
]
GroundSampleDistance = Annotated[
    float | None,
    typer.Option(
        "--gsd", help="Ground width of the image in metres / tile pixels, instead of these two.", rich_help_panel=_ABOUT
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="SAT2SOUND_SERVER",
        help="gRPC address. Default: localhost:8001 if a server of ours answers there, else one is started for this "
        "command.",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
DeadlineSeconds = Annotated[
    float, typer.Option("--deadline", help="Seconds to wait for an answer.", rich_help_panel=_SERVER)
]
Repository = Annotated[
    Path | None,
    typer.Option(
        envvar="SAT2SOUND_REPOSITORY",
        help="A built model repository. Default: build/repository, built if need be.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
]
TopK = Annotated[int, typer.Option(help="How many sounds to rank.", min=1, rich_help_panel=_OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=_OUTPUT)]
