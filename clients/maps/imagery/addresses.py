"""Addresses of imagery, safe to write down."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

NETWORK = ("http://", "https://")


def without_secrets(address: str) -> str:
    """An address as it may be shown and stored: user, password and query (where services take keys) removed."""
    if not address.startswith(NETWORK):
        return address
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
