"""The command that measures a model or a running server on a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors

if TYPE_CHECKING:
    from sat2sound.evaluation.backends import Backend, ImageSettings

_WHAT = "What is evaluated"


@readable_errors
def evaluate(
    data: Annotated[
        str, typer.Option(help="Folder or file of the dataset, or OWNER/NAME of one on the hub.", show_default=False)
    ],
    split: Annotated[str, typer.Option(help="Which part of the dataset.")] = "test",
    model: Annotated[
        str | None,
        typer.Option(
            help='"starter", a checkpoint file or a hub name. Default: starter.',
            rich_help_panel=_WHAT,
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A running server, instead of a model: its graphs at their precision are judged.",
            rich_help_panel=_WHAT,
            show_default=False,
        ),
    ] = None,
    satellite: options.Satellite = None,
    zoom_level: options.ZoomLevel = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            help="Image captions that `sat2sound caption` wrote, instead of the dataset's.", show_default=False
        ),
    ] = None,
    metadata: Annotated[
        bool, typer.Option(help="Give place, time and sources to the satellite branch, where known.")
    ] = True,
    max_skipped: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Largest share of files that may be unusable.")
    ] = 0.02,
    resamples: Annotated[int, typer.Option(min=10, help="Of the bootstrap, for the 95 % intervals.")] = 1000,
    deadline: options.DeadlineSeconds = 60.0,
    as_json: options.Json = False,
) -> None:
    """Measure how well images, sounds and texts find each other.

    Pairs of image and recording: R@10%, R@1, R@5, R@10 and median rank, with text added to none, the audio or the
    query. The starter's data: its four figures. All with 95 % intervals, and per scene.

    Examples:

    [cyan]sat2sound evaluate --model starter --data ../shared/data --split test --json[/]

    [cyan]sat2sound evaluate --server gpu-host:8001 --data ../shared/data[/]

    [cyan]sat2sound evaluate --model MVRL/sat2sound:sentinel_withmeta --data MVRL/GeoSound --satellite sentinel[/]
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sat2sound.clients.cli.evaluation_tables import print_report
    from sat2sound.clients.cli.terminal import print_json
    from sat2sound.data.choice import Choice
    from sat2sound.data.opening import open_samples
    from sat2sound.evaluation.backends import ImageSettings
    from sat2sound.evaluation.report import evaluate as measure

    if model and server:
        raise typer.BadParameter("give either --model or --server")
    samples = open_samples(data, split, Choice(satellite=satellite, zoom_level=zoom_level or 1, captions=captions))
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        _backend(model, server, ImageSettings(satellite, zoom_level), deadline) as backend,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("samples embedded", total=None)
        report = measure(
            samples,
            backend,
            about={"data": data, "split": split},
            with_metadata=metadata,
            max_skipped_share=max_skipped,
            resamples=resamples,
            progress=lambda count: bar.advance(task, count),
        )
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)


@contextmanager
def _backend(model: str | None, server: str | None, settings: ImageSettings, deadline: float) -> Iterator[Backend]:
    if server:
        from sat2sound.clients.client import Sat2SoundClient
        from sat2sound.evaluation.served import ServerBackend

        with Sat2SoundClient(server, deadline=deadline) as client:
            yield ServerBackend(client, server, settings)
    else:
        from sat2sound.evaluation.library import LibraryBackend
        from sat2sound.models import Sat2Sound

        name = model or "starter"
        yield LibraryBackend(Sat2Sound.from_checkpoint(name), name, settings)
