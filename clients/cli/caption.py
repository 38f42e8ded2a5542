"""The command that has image captions written by a vision-language model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sat2sound.clients.cli.exit_codes import readable_errors

if TYPE_CHECKING:
    from sat2sound.captioning.captioner import Captioner

_MODEL = "Model"
_DATA = "Data"
DEFAULT_TOKEN_VARIABLE = "SAT2SOUND_CAPTION_TOKEN"  # noqa: S105 (the name of a variable)


@readable_errors
def caption(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of images or shards, CSV or Parquet file, or OWNER/NAME of a dataset on the hub.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .parquet or .jsonl file.", show_default=False)],
    satellite: Annotated[
        str, typer.Option(help="At whose native distance the images are: bingmap, sentinel, googleEarth, aerial.")
    ] = "bingmap",
    zoom_level: Annotated[
        list[int] | None, typer.Option(help="May be repeated. Default: 1, 3 and 5.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name; with --endpoint, the name there. Default: llava-hf/llava-1.5-7b-hf.",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible, e.g. http://localhost:8000/v1, instead of a model on this machine.",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None,
    token_variable: Annotated[
        str, typer.Option(help="Environment variable with the endpoint's token.", rich_help_panel=_MODEL)
    ] = DEFAULT_TOKEN_VARIABLE,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for one request to the endpoint.", rich_help_panel=_MODEL)
    ] = 120.0,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.", rich_help_panel=_MODEL)] = 4,
    image_column: Annotated[
        str | None,
        typer.Option(
            help="Default: image, else that of --satellite, e.g. bingmap_image.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Default: sample_id or id.", rich_help_panel=_DATA, show_default=False)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of a dataset. Default: all.", rich_help_panel=_DATA, show_default=False)
    ] = None,
    prefix: Annotated[
        str, typer.Option("--column-prefix", help="Of the columns written.", rich_help_panel=_DATA)
    ] = "llava_caption",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also what failed in an earlier run.")] = False,
    max_failed: Annotated[float, typer.Option(min=0.0, max=1.0, help="Largest share of failures.")] = 0.02,
) -> None:
    """Have image captions written: what could be heard at each place.

    A run that was ended, however it was, goes on where it stopped when it is given the same command again.

    Examples:

    [cyan]sat2sound caption images/ --out captions.parquet --satellite bingmap[/]

    [cyan]sat2sound caption images.csv --out captions.jsonl --endpoint http://localhost:8000/v1 --model llava[/]

    [cyan]sat2sound caption MVRL/GeoSound --split train --satellite sentinel --out sentinel.parquet[/]
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sat2sound.captioning.run import LISTED, Job, check_failures, run
    from sat2sound.satellite_types import satellite_type

    job = Job(
        source,
        out,
        satellite_type(satellite),
        tuple(zoom_level or (1, 3, 5)),
        prefix=prefix,
        image_column=image_column,
        id_column=id_column,
        split=split,
    )
    next(job.rows())  # a wrong path is told before a large model is loaded
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        _captioner(model, endpoint, os.environ.get(token_variable), timeout, batch) as captioner,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("captions", total=None)
        summary = run(job, captioner, retry_failed=retry_failed, progress=lambda count: bar.advance(task, count))
    for (own, zoom), why in list(summary.failures.items())[:LISTED]:
        typer.echo(f"failed: {own}, zoom level {zoom}: {why}", err=True)
    typer.echo(f"{out}: {summary.rows} rows, {summary.captions} captions, {len(summary.failures)} failures")
    check_failures(summary, max_failed)


@contextmanager
def _captioner(
    model: str | None, endpoint: str | None, token: str | None, timeout: float, batch: int
) -> Iterator[Captioner]:
    if endpoint is None:
        from sat2sound.captioning.local import DEFAULT_MODEL, LocalCaptioner

        yield LocalCaptioner(model or DEFAULT_MODEL, batch=batch)
        return
    if model is None:
        raise typer.BadParameter("--endpoint needs --model: the name that it knows its model by")
    from sat2sound.captioning.endpoint import EndpointCaptioner

    captioner = EndpointCaptioner(endpoint, model, token=token, batch=batch, timeout=timeout)
    try:
        yield captioner
    finally:
        captioner.close()
