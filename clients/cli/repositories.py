"""Commands that build and check model repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import ExitCode, readable_errors

TextEncoder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the frozen text encoder (config.json, model.safetensors, tokenizer.json), for machines without "
        "the hub. Default: what the model's configuration names.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]


@readable_errors
def export(
    model: Annotated[str, typer.Option(help='"starter", a .ckpt or .safetensors file, or a hub name.')] = "starter",
    profile: Annotated[str, typer.Option(help="How it will be served; see docs/export.md.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Default: build/repository.", show_default=False)] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            help="CSV of captions to search: id, caption, and optionally sound, licence, latitude, longitude, tags.",
            show_default=False,
        ),
    ] = None,
    text_encoder: TextEncoder = None,
    as_json: options.Json = False,
) -> None:
    """Build a model repository from a checkpoint, doing only what is not up to date.

    Every graph is compared with torch; one that differs ends this with exit code 8 and a list of all differences, and
    the old repository stays.

    Examples:

    [cyan]sat2sound export[/]

    [cyan]sat2sound export --model bingmap_withmeta.ckpt --text-encoder /data/flan-t5-large --out /models/bingmap[/]

    [cyan]sat2sound export --gallery harbour_sounds.csv --out /models/harbour --json | jq .digest[/]
    """
    from sat2sound.clients.cli.export_display import ExportDisplay, print_export
    from sat2sound.clients.cli.terminal import print_json
    from sat2sound.clients.servers import default_repository

    with ExportDisplay() as display:
        display.step("checking the model repository")
        from sat2sound.export.build import ensure_repository
        from sat2sound.export.inputs import BuildRequest
        from sat2sound.export.manifest import read_manifest
        from sat2sound.export.profiles import find_profile

        request = BuildRequest(model, find_profile(profile), text_encoder=text_encoder)
        if gallery is not None:
            request = request.with_gallery(gallery)
        built = ensure_repository(
            out or default_repository(), request, progress=display.step, watch=lambda event: display.graph(*event)
        )
    manifest = read_manifest(built) or {}
    if as_json:
        print_json({"repository": str(built), **manifest})
    else:
        print_export(built, manifest)


@readable_errors
def verify(
    repository: Annotated[Path, typer.Argument(help="A built model repository.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CKPT",
            help="Compare with this checkpoint in torch. Default: with the reference inputs and outputs that were "
            "stored in the repository when it was built.",
            show_default=False,
        ),
    ] = None,
    text_encoder: TextEncoder = None,
    as_json: options.Json = False,
) -> None:
    """Check that a model repository still computes what it should: exit code 0, or 8 and a table of what differs.

    Checked are files against the manifest, configurations against the wire contract and the graphs, every graph's
    numbers, batch independence, rankings, and whether the gallery belongs to the model.

    Examples:

    [cyan]sat2sound verify build/repository[/]

    [cyan]sat2sound verify /models/bingmap --against bingmap_withmeta.ckpt --text-encoder /data/flan-t5-large[/]
    """
    from sat2sound.clients.cli.export_display import ExportDisplay, print_problems
    from sat2sound.clients.cli.terminal import print_json

    with ExportDisplay() as display:
        display.step(f"reading {repository}")
        from sat2sound.export.verify import verify_repository

        results = verify_repository(
            repository, against, text_encoder, progress=display.step, watch=lambda event: display.graph(*event)
        )
    passed = all(result.passed for result in results)
    if as_json:
        gates = [result.to_json() for result in results]
        print_json({"repository": str(repository), "passed": passed, "gates": gates})
    elif passed:
        typer.echo(f"{repository}: {len(results)} gates passed")
    else:
        print_problems([(result.subject, result.gate, line) for result in results for line in result.problems])
    if not passed:
        raise typer.Exit(ExitCode.DIFFERS)
