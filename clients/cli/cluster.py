"""Commands that run beside a server in a cluster: fetch its repository, drain it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sat2sound.clients.cli.exit_codes import ExitCode, readable_errors

repository = typer.Typer(help="Built model repositories: digest, fetch.", no_args_is_help=True)


@repository.command()
@readable_errors
def fetch(
    source: Annotated[str, typer.Argument(help="A folder, file://, s3:// or gs:// address.", show_default=False)],
    digest: Annotated[
        str, typer.Option(help="SHA-256 of the content, as `sat2sound export` prints it.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder that Triton reads.", show_default=False)],
) -> None:
    """Copy a repository from where it is stored and verify every file; any other content is refused.

    Example:

    [cyan]sat2sound repository fetch s3://models/starter-cpu --digest 3f9c... --out /models/repository[/]
    """
    from sat2sound.export.fetch import fetch_repository

    fetch_repository(source, digest.strip(), out, progress=lambda line: typer.echo(line, err=True))
    typer.echo(str(out))


@repository.command(name="digest")
@readable_errors
def show_digest(folder: Annotated[Path, typer.Argument(help="A built repository.", show_default=False)]) -> None:
    """Print the digest of a repository's content, as found now.

    Example:

    [cyan]sat2sound repository digest build/repository[/]
    """
    from sat2sound.errors import ConfigurationError
    from sat2sound.export.manifest import file_digests, read_manifest, repository_digest

    if read_manifest(folder) is None:
        raise ConfigurationError(f"{folder} is not a built model repository; run `sat2sound export` first")
    typer.echo(repository_digest(file_digests(folder)))


@readable_errors
def drain(
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Triton's HTTP address.")] = "127.0.0.1:8000",
    key: Annotated[
        str, typer.Option(envvar="CONTROL_KEY", help="Value of the control header, if one is set.", show_default=False)
    ] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for requests in flight.")] = 60.0,
    notice: Annotated[float, typer.Option(help="Seconds between the loss of readiness and the first refusal.")] = 5.0,
) -> None:
    """Let a running Triton finish what it accepted: unready, then refuse, then wait. For a pod's preStop.

    Needs --model-control-mode=explicit. Exit code 5 if requests were still in flight after the timeout.

    Example:

    [cyan]sat2sound drain --http 127.0.0.1:8000 --timeout 60 --notice 5[/]
    """
    from sat2sound.serving.control import Control
    from sat2sound.serving.drain import drain as drain_server

    host, port = _address(http)
    try:
        drained = drain_server(Control(host, port, key), timeout, notice=notice, cancelled=lambda: False)
    except OSError as error:
        typer.echo(f"no Triton server answers on {http}: {error}", err=True)
        raise typer.Exit(ExitCode.UNAVAILABLE) from error
    if not drained:
        typer.echo(f"requests were still in flight after {timeout:g} s", err=True)
        raise typer.Exit(ExitCode.DEADLINE)


@readable_errors
def alive(
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Triton's HTTP address.")] = "127.0.0.1:8000",
    pid: Annotated[int, typer.Option(help="Process id of tritonserver; 1 in its container.")] = 1,
) -> None:
    """Say whether a Triton on this machine can still serve. For a pod's liveness probe.

    Exit code 5 if it does not answer or one of its python backend processes has died, of which Triton's own liveness
    says nothing.

    Example:

    [cyan]sat2sound alive --http 127.0.0.1:8000 --pid 1[/]
    """
    from sat2sound.serving.control import Control
    from sat2sound.serving.liveness import why_not_alive

    if reason := why_not_alive(Control(*_address(http)), pid):
        typer.echo(reason, err=True)
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _address(http: str) -> tuple[str, int]:
    host, _, port = http.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("give HOST:PORT", param_hint="--http")
    return host, int(port)
