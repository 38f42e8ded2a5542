"""Where the predictor is, and which network addresses a caller may send the gateway to: none that only it can reach."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from sat2sound.serving.gateway.refusals import FetchError

KSERVE_PORT = 80
_UNICAST = ipaddress.ip_network("2000::/3")  # all public IPv6 addresses
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: IPv4 addresses in disguise


def predictor_address(host: str) -> str:
    """The gRPC address of the predictor. KServe gives its Service's name without the port, which is 80 for all of them.

    gRPC by itself would take 443.
    """
    return host if host.rpartition(":")[2].isdigit() else f"{host}:{KSERVE_PORT}"


def public_address(url: str, *, allow_private: bool) -> str:
    """The IP address to connect to for an http(s) URL; connecting to it, and not to the name, is up to the caller.

    A name is resolved once and judged by all its addresses: one that points to a private, loopback or link-local
    address (as the cloud's metadata service has) is refused. Raises FetchError.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{url[:200]!r} is not an http(s) address")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise FetchError(f"the host {parts.hostname!r} cannot be resolved: {error}") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not allow_private:
        for address in addresses:
            if not _is_public(address):
                raise FetchError(
                    f"{parts.hostname} is at {address}, which is not a public address; the operator can allow such "
                    "with --allow-private"
                )
    return addresses[0]


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast
    if found in _TRANSLATED:
        return _is_public(str(ipaddress.IPv4Address(found.packed[-4:])))
    if found.sixtofour is not None and not _is_public(str(found.sixtofour)):
        return False
    # Python calls some addresses global that are not: site-local ones, and IPv4 ones with zeros before them.
    return found in _UNICAST and found.is_global
