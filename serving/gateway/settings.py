"""Everything that an operator decides about one gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sat2sound.errors import ConfigurationError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class GatewaySettings:
    """One gateway.

    predictor: Triton's gRPC address, host:port or a gRPC name such as dns:///service:8001. predictor_key_file: holds
    the value of Triton's inference header. model_name: under which the v1 and v2 protocols offer it. token_file: one
    token per line; without one anybody may ask, which `allow_anonymous` must say. Ports: 0 picks a free one.
    timeout_seconds: for a request's body to arrive, and for one call to Triton. fetch_seconds: for one image reference
    or tile. max_concurrency: requests answered at once; max_waiting: further ones that wait for their turn;
    max_bytes_in_flight: of the bodies of all of them.
    image_stores: prefixes of addresses that image references may have. tiles: template of a tile service, or the path
    of a GeoTIFF; satellite: the satellite type that this imagery is cut for. allow_private: whether stores and tiles
    may lie at private addresses.
    """

    predictor: str
    predictor_key_file: Path | None = None
    model_name: str = "sat2sound"
    host: str = "127.0.0.1"
    http_port: int = 0
    grpc_port: int = 0
    token_file: Path | None = None
    allow_anonymous: bool = False
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    max_request_bytes: int = 48 * MEBIBYTE
    max_bytes_in_flight: int = 512 * MEBIBYTE
    max_concurrency: int = 64
    max_waiting: int = 64
    max_instances: int = 64
    timeout_seconds: float = 30.0
    fetch_seconds: float = 10.0
    image_stores: tuple[str, ...] = ()
    tiles: str = ""
    satellite: str = "aerial"
    allow_private: bool = False
    drain_seconds: float = 60.0
    drain_notice_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.token_file is None and not self.allow_anonymous:
            raise ConfigurationError(
                "the gateway has no token file, so anybody could use it; give --token-file, or --allow-anonymous "
                "where something else guards it"
            )
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ConfigurationError("TLS needs both --tls-certificate-file and --tls-key-file")
        for name in (
            "max_request_bytes",
            "max_bytes_in_flight",
            "max_concurrency",
            "max_instances",
            "timeout_seconds",
            "fetch_seconds",
        ):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"--{name.replace('_', '-')} must be positive")
