"""Commands for TensorRT engines: build them on a GPU node, list what a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors

engines = typer.Typer(help="TensorRT engines: build, list.", no_args_is_help=True)
Store = Annotated[Path, typer.Option(help="Folder of engines by key; may be shared.", show_default=False)]


@engines.command()
@readable_errors
def build(
    repository: Annotated[Path, typer.Argument(help="A repository of profile tensorrt.", show_default=False)],
    store: Store,
    as_json: options.Json = False,
) -> None:
    """Build the engines that the store lacks for this node's GPU, and put all that are needed into the repository.

    Every engine is compared with onnxruntime first; if one differs, this ends with exit code 8 and the repository
    stays. The repository's digest changes: the new one is printed.

    Example:

    [cyan]sat2sound engines build models --store /engines[/]
    """
    from sat2sound.clients.cli.terminal import Steps, print_json
    from sat2sound.export.manifest import read_manifest
    from sat2sound.export.tensorrt.placing import build_engines
    from sat2sound.export.tensorrt.store import EngineStore

    built = build_engines(repository, EngineStore(store), progress=Steps())
    digest = str((read_manifest(repository) or {})["digest"])
    if as_json:
        print_json({"repository": str(repository), "digest": digest, "engines": [one.to_json() for one in built]})
    else:
        typer.echo(f"{repository}: {len(built)} engines, digest {digest}")


@engines.command(name="list")
@readable_errors
def list_engines(store: Store, as_json: options.Json = False) -> None:
    """Show the undamaged engines of a store and what each was built of.

    Example:

    [cyan]sat2sound engines list --store /engines[/]
    """
    from rich.console import Console

    from sat2sound.clients.cli.terminal import print_json, table
    from sat2sound.export.tensorrt.store import EngineStore

    found = list(EngineStore(store).engines())
    if as_json:
        print_json([engine.to_json() for engine in found])
        return
    rows = table("engine", "graph", "GPU", "compute capability", "TensorRT", "MB")
    for engine in found:
        megabytes = f"{engine.path.stat().st_size / 1e6:.1f}"
        key = engine.key
        rows.add_row(key.digest[:12], engine.graph, engine.device, key.compute_capability, key.tensorrt, megabytes)
    Console(highlight=False).print(rows)
