"""Where a server is, and how the gRPC channel to it is set up: one truth for the blocking and the asyncio client."""

from __future__ import annotations

import ipaddress
import re

from sat2sound.clients.access import Access
from sat2sound.errors import InvalidInput

DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024
KEEPALIVE_MILLISECONDS = 30_000  # also notices a peer that vanished without closing
KEEPALIVE_TIMEOUT_MILLISECONDS = 10_000
# A name is looked up again after a connection is lost, but not more often than this.
RESOLUTION_MILLISECONDS = 5_000
FIRST_RECONNECT_MILLISECONDS = 100
LONGEST_RECONNECT_MILLISECONDS = 5_000
_ADDRESS = re.compile(r"^(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})$")
_LOOPBACK = ("localhost", "127.", "[::1]")


def check_address(url: str) -> str:
    """`host:port`, or several IP addresses with ports and commas between, as it is.

    Raises InvalidInput that tells a common mistake.
    """
    parts = url.split(",")
    matches = [_ADDRESS.match(part) for part in parts]
    if all(match and 0 < int(match["port"]) < 65536 for match in matches):
        if len(parts) == 1 or _versions(parts) in ({4}, {6}):
            return url
        raise InvalidInput(
            f"{url[:100]!r} lists addresses that are not all IPv4 or all IPv6",
            expected="IP addresses of one version, e.g. 10.0.0.1:8001,10.0.0.2:8001",
            fix="give one name that resolves to all servers (a headless service), or their IP addresses",
        )
    raise InvalidInput(
        f"{url[:100]!r} is not a gRPC address",
        expected="host:port without a scheme, e.g. localhost:8001",
        fix="leave out http:// and any path, and give the gRPC port" if "/" in url else "give host and port",
    )


def target(url: str) -> str:
    """What gRPC is to connect to: all addresses that a name has, or those that are listed."""
    parts = check_address(url).split(",")
    if len(parts) == 1:
        return url
    return f"ipv{next(iter(_versions(parts)))}:{url}"


def _versions(parts: list[str]) -> set[int]:
    """IP versions of `host:port` texts; 0 stands for a host name."""
    versions: set[int] = set()
    for part in parts:
        try:
            versions.add(ipaddress.ip_address(part.rpartition(":")[0].strip("[]")).version)
        except ValueError:
            versions.add(0)
    return versions


def channel_options(url: str, access: Access, max_message_bytes: int) -> list[tuple[str, int | str]]:
    """gRPC channel arguments. Raises InvalidInput for a token that would travel unencrypted to another machine."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MILLISECONDS),
        # A server forgives two pings between data; at the third it would end the connection, and with it a long call.
        ("grpc.http2.max_pings_without_data", 2),
        # Requests go round all addresses of a headless service; with one address it is the same as no policy.
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.dns_min_time_between_resolutions_ms", RESOLUTION_MILLISECONDS),
        # While gRPC waits to connect again, calls fail at once: it must not wait longer than a retry does.
        ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MILLISECONDS),
        ("grpc.min_reconnect_backoff_ms", LONGEST_RECONNECT_MILLISECONDS),
        ("grpc.max_reconnect_backoff_ms", LONGEST_RECONNECT_MILLISECONDS),
        # gRPC's own retries would hide what `retries` bounds.
        ("grpc.enable_retries", 0),
        # Each client has connections of its own: closing one leaves the others alone, and none is shared by accident.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if all(part.startswith(_LOOPBACK) for part in url.split(",")):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy set in the environment cannot reach our loopback
    elif access.token_file is not None and not access.tls:
        raise InvalidInput(
            f"a token would travel to {url[:100]} unencrypted",
            expected="TLS wherever a token is sent to another machine",
            fix="set SAT2SOUND_TLS=1 (and SAT2SOUND_TLS_CA_FILE for an authority of your own)",
        )
    return options
