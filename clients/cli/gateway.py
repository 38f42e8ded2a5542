"""The command that runs the KServe endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sat2sound.clients.cli.exit_codes import ExitCode, readable_errors

_WHERE = "Where it listens"
_WHO = "Who may ask"
_LIMITS = "Limits"
_IMAGERY = "Images by reference and by place"


@readable_errors
def gateway(
    predictor_host: Annotated[
        str,
        typer.Option(
            "--predictor-host",
            "--predictor_host",
            help="Triton's gRPC address: HOST:PORT (80 if no port is given, as by KServe), or dns:///SERVICE:PORT for "
            "every pod behind a headless service.",
        ),
    ] = "127.0.0.1:8001",
    predictor_protocol: Annotated[
        str, typer.Option("--predictor-protocol", "--predictor_protocol", help="Only grpc-v2.")
    ] = "grpc-v2",
    predictor_key_file: Annotated[
        Path | None, typer.Option(help="Holds the value of Triton's inference header.", show_default=False)
    ] = None,
    model_name: Annotated[
        str, typer.Option("--model-name", "--model_name", help="Its name in the v1 protocol.")
    ] = "sat2sound",
    host: Annotated[str, typer.Option(rich_help_panel=_WHERE)] = "127.0.0.1",
    http_port: Annotated[
        int, typer.Option("--http-port", "--http_port", help="0 picks a free one.", rich_help_panel=_WHERE)
    ] = 8080,
    grpc_port: Annotated[
        int, typer.Option("--grpc-port", "--grpc_port", help="0 picks a free one.", rich_help_panel=_WHERE)
    ] = 8081,
    tls_certificate_file: Annotated[Path | None, typer.Option(rich_help_panel=_WHERE, show_default=False)] = None,
    tls_key_file: Annotated[Path | None, typer.Option(rich_help_panel=_WHERE, show_default=False)] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Bearer tokens, one per line; read again when it changes.", rich_help_panel=_WHO),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Answer without tokens.", rich_help_panel=_WHO)
    ] = False,
    max_request_bytes: Annotated[int, typer.Option(min=1, rich_help_panel=_LIMITS)] = 48 * 1024 * 1024,
    max_bytes_in_flight: Annotated[
        int,
        typer.Option(help="Of the bodies of all requests that are answered or wait.", min=1, rich_help_panel=_LIMITS),
    ] = 512 * 1024 * 1024,
    max_concurrency: Annotated[int, typer.Option(help="Answered at once.", min=1, rich_help_panel=_LIMITS)] = 64,
    max_waiting: Annotated[int, typer.Option(help="Further ones that wait.", min=0, rich_help_panel=_LIMITS)] = 64,
    timeout_seconds: Annotated[
        float, typer.Option(help="For a body to arrive; for one call to Triton.", rich_help_panel=_LIMITS)
    ] = 30.0,
    max_instances: Annotated[
        int, typer.Option(help="Of one request in the v1 protocol.", min=1, rich_help_panel=_LIMITS)
    ] = 64,
    fetch_seconds: Annotated[float, typer.Option(help="For one reference or tile.", rich_help_panel=_IMAGERY)] = 10.0,
    image_stores: Annotated[
        str,
        typer.Option(help="Allowed prefixes of image references, comma-separated.", rich_help_panel=_IMAGERY),
    ] = "",
    tiles: Annotated[
        str,
        typer.Option(
            help="For latitude/longitude requests: http(s) template with {west} {south} {east} {north} {latitude} "
            "{longitude} {width} {height}, or the path of a GeoTIFF.",
            rich_help_panel=_IMAGERY,
        ),
    ] = "",
    satellite: Annotated[
        str, typer.Option(help="Satellite type that --tiles is cut for.", rich_help_panel=_IMAGERY)
    ] = "aerial",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch from private addresses too.", rich_help_panel=_IMAGERY)
    ] = False,
    drain_seconds: Annotated[float, typer.Option(help="Longest wait when stopping.", rich_help_panel=_LIMITS)] = 60.0,
    drain_notice_seconds: Annotated[
        float, typer.Option(help="Between unready and the first refusal.", rich_help_panel=_LIMITS)
    ] = 5.0,
) -> None:
    """Serve KServe's protocols (v1 :predict, Open Inference Protocol over REST and gRPC) in front of Triton.

    Ends on SIGTERM or Ctrl-C when every accepted request is answered; exit code 5 if some were not in time.

    Examples:

    [cyan]sat2sound gateway --token-file tokens.txt[/]

    [cyan]sat2sound gateway --allow-anonymous --tiles survey.tif --image-stores https://images.example/[/]
    """
    from sat2sound.errors import ConfigurationError

    if predictor_protocol != "grpc-v2":
        raise ConfigurationError(f"the predictor protocol is {predictor_protocol!r}; this gateway speaks grpc-v2 only")
    try:
        from sat2sound.serving.gateway.server import Addresses, GatewayServer
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the gateway needs the package {error.name}; run `make setup-all`") from None
    from sat2sound.serving.gateway.logs import LOGGER, configure
    from sat2sound.serving.gateway.settings import GatewaySettings

    configure()
    settings = GatewaySettings(
        predictor=predictor_host,
        predictor_key_file=predictor_key_file,
        model_name=model_name,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        token_file=token_file,
        allow_anonymous=allow_anonymous,
        tls_certificate_file=tls_certificate_file,
        tls_key_file=tls_key_file,
        max_request_bytes=max_request_bytes,
        max_bytes_in_flight=max_bytes_in_flight,
        max_concurrency=max_concurrency,
        max_waiting=max_waiting,
        timeout_seconds=timeout_seconds,
        max_instances=max_instances,
        fetch_seconds=fetch_seconds,
        image_stores=tuple(filter(None, (prefix.strip() for prefix in image_stores.split(",")))),
        tiles=tiles,
        satellite=satellite,
        allow_private=allow_private,
        drain_seconds=drain_seconds,
        drain_notice_seconds=drain_notice_seconds,
    )

    def started(addresses: Addresses) -> None:
        LOGGER.info("listening", extra={"fields": {"predictor": predictor_host, **vars(addresses)}})

    if not GatewayServer(settings).run(started):
        raise typer.Exit(ExitCode.DEADLINE)
