"""The command that embeds many files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import ExitCode, readable_errors

if TYPE_CHECKING:
    from sat2sound.clients.many import Embedded


@readable_errors
def embed(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images and recordings: files, quoted patterns, folders, or - for standard input.", show_default=False
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Words to embed, too; may be repeated.", show_default=False)
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read more names from a file, one to a line; - for standard input."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A .parquet file: input, kind, embedding.", rich_help_panel="Output")
    ] = None,
    latitude: options.Latitude = None,
    longitude: options.Longitude = None,
    month: options.Month = None,
    hour: options.Hour = None,
    satellite: options.Satellite = None,
    zoom_level: options.ZoomLevel = None,
    gsd: options.GroundSampleDistance = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object to a line on stdout.", rich_help_panel="Output")
    ] = False,
    server: options.Address = None,
    deadline: options.DeadlineSeconds = 60.0,
) -> None:
    """Embed images, recordings and texts, as many as there are.

    What is said about the image holds for all of them. A file that cannot be used is reported on stderr (and as
    "error" in the JSON), the others are embedded all the same, and the exit code is 9.

    Examples:

    [cyan]sat2sound embed "photos/*.jpg" --out embeddings.parquet[/]

    [cyan]find . -name "*.tif" | sat2sound embed --files-from - --json | jq -r .input[/]

    [cyan]cat beach.jpg | sat2sound embed - --json[/]
    """
    from sat2sound.clients.cli.terminal import Steps
    from sat2sound.clients.client import Sat2SoundClient
    from sat2sound.clients.many import embed_files, embed_texts
    from sat2sound.clients.scene import ImageMetadata
    from sat2sound.clients.servers import chosen_server

    if out is None and not as_json:
        raise typer.BadParameter("say where the embeddings go: --json, --out FILE.parquet, or both")
    if out is not None and out.suffix != ".parquet":
        raise typer.BadParameter(f"--out {out} is not a .parquet file")
    metadata = ImageMetadata(satellite, zoom_level, gsd, latitude, longitude, month, hour)
    metadata.check()
    with ExitStack() as stack:
        names = _names(list(inputs or ()), files_from)
        if not names and not text:
            raise typer.BadParameter("give at least one file, --files-from or --text")
        paths = _with_standard_input(names, stack)
        found = stack.enter_context(chosen_server(server, Steps()))
        client = stack.enter_context(Sat2SoundClient(found.url, deadline=deadline))

        def results() -> Iterator[Embedded]:
            yield from embed_texts(client, text or ())
            yield from embed_files(client, paths, metadata, found.expects.satellite)

        shown = dict(zip(paths, names, strict=True))
        done, failed = _report(results(), shown, len(names) + len(text or ()), as_json, out)
    typer.echo(f"{done} embedded, {failed} failed" + (f"; written to {out}" if out and done else ""), err=True)
    if failed:
        raise typer.Exit(ExitCode.INCOMPLETE if done else ExitCode.INVALID)


def _names(inputs: list[str], files_from: str | None) -> list[str]:
    from sat2sound.clients.input_files import STANDARD_INPUT, find_files, names_in
    from sat2sound.clients.inputs import file_bytes

    if files_from == STANDARD_INPUT:
        if STANDARD_INPUT in inputs:
            raise typer.BadParameter("standard input cannot be both an input and the list of them")
        inputs = inputs + names_in(sys.stdin.read())
    elif files_from is not None:
        inputs = inputs + names_in(file_bytes(Path(files_from))[0].decode("utf-8", errors="surrogateescape"))
    return find_files(inputs)


def _with_standard_input(names: list[str], stack: ExitStack) -> list[str]:
    from sat2sound.clients.cli.standard_input import readable

    return [str(stack.enter_context(readable(Path(name)))) for name in names]


def _report(
    results: Iterator[Embedded], names: dict[str, str], total: int, as_json: bool, out: Path | None
) -> tuple[int, int]:
    """Print, write and count what came of each input."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    served: list[Embedded] = []
    done = failed = 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("embedding", total=total)
        for result in results:
            name = names.get(result.name, result.name)
            if result.embedding is None:
                failed += 1
                bar.console.print(f"failed: {name}: {result.error}", markup=False, highlight=False, soft_wrap=True)
            else:
                done += 1
                served += [result] if out else []
            if as_json:
                values = None if result.embedding is None else [round(float(value), 7) for value in result.embedding]
                outcome = {"error": result.error} if values is None else {"embedding": values}
                line = json.dumps({"input": name, "kind": result.kind, **outcome}, ensure_ascii=False)
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            bar.advance(task)
    if out and served:
        _write(out, served, names)
    return done, failed


def _write(out: Path, served: list[Embedded], names: dict[str, str]) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sat2sound.atomic_files import replacing_file

    table = np.stack([result.embedding for result in served if result.embedding is not None])
    values = pa.array(table.reshape(-1), pa.float32())
    columns = {
        "input": pa.array([names.get(result.name, result.name) for result in served], pa.string()),
        "kind": pa.array([result.kind for result in served], pa.string()),
        "embedding": pa.FixedSizeListArray.from_arrays(values, table.shape[1]),
    }
    with replacing_file(out) as partial:
        pq.write_table(pa.table(columns), partial)
