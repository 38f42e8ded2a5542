"""Commands for TensorRT engines: build them on a GPU node, take them from a store, list what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sat2sound.clients.cli import options
from sat2sound.clients.cli.exit_codes import readable_errors

if TYPE_CHECKING:
    from sat2sound.export.tensorrt.store import StoredEngine

engines = typer.Typer(help="TensorRT engines: build, place, list.", no_args_is_help=True)
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
    from sat2sound.clients.cli.terminal import Steps
    from sat2sound.export.tensorrt.placing import build_engines
    from sat2sound.export.tensorrt.store import EngineStore

    _print(repository, build_engines(repository, EngineStore(store), progress=Steps()), as_json)


@engines.command()
@readable_errors
def place(
    repository: Annotated[Path, typer.Argument(help="A repository of profile tensorrt.", show_default=False)],
    store: Store,
    compute_capability: Annotated[
        str | None, typer.Option(help="Of another GPU than this node's, e.g. 9.0.", show_default=False)
    ] = None,
    tensorrt: Annotated[
        str | None, typer.Option(help="Its full version there, e.g. 10.13.3.9.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Put engines that are in the store already into the repository; build nothing.

    For nodes that serve: copied is what `engines build` has stored for this repository, this node's GPU and its
    TensorRT. If one is missing, this ends with exit code 6, names it, and the repository stays. The repository's digest
    changes.

    Examples:

    [cyan]sat2sound engines place models --store /engines[/]

    [cyan]sat2sound engines place models --store /engines --compute-capability 9.0 --tensorrt 10.13.3.9[/]
    """
    from sat2sound.errors import ConfigurationError
    from sat2sound.export.tensorrt.device import Device, find_device
    from sat2sound.export.tensorrt.from_store import place_from_store
    from sat2sound.export.tensorrt.store import EngineStore

    if compute_capability and tensorrt:
        device = Device(compute_capability, tensorrt, "another node's GPU")
    elif compute_capability or tensorrt:
        raise ConfigurationError("another node is named by --compute-capability and --tensorrt together")
    else:
        device = find_device()
    _print(repository, place_from_store(repository, EngineStore(store), device), as_json)


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


def _print(repository: Path, placed: Sequence[StoredEngine], as_json: bool) -> None:
    from sat2sound.clients.cli.terminal import print_json
    from sat2sound.export.manifest import read_manifest

    digest = str((read_manifest(repository) or {})["digest"])
    if as_json:
        print_json({"repository": str(repository), "digest": digest, "engines": [one.to_json() for one in placed]})
    else:
        typer.echo(f"{repository}: {len(placed)} engines, digest {digest}")
