"""What the gateway refuses by itself. Free of kserve, whose protocol classes cannot live beside Triton's client's."""

from __future__ import annotations

from sat2sound.errors import Sat2SoundError


class GatewayError(Sat2SoundError):
    """Base of what the gateway itself refuses. reason: label of the refused counter."""

    reason = "other"


class Unauthenticated(GatewayError):
    """No valid bearer token."""

    reason = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("no valid bearer token; send the header 'Authorization: Bearer <token>'")


class TooLarge(GatewayError):
    """The request's body exceeds the limit."""

    reason = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request is larger than {limit:,} bytes; send fewer or smaller images")


class TooSlow(GatewayError):
    """The request's body does not arrive."""

    reason = "too_slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request's body did not arrive within {seconds:g} seconds; send fewer or smaller images")


class Overloaded(GatewayError):
    """As many requests as allowed are being answered and waiting."""

    reason = "overload"

    def __init__(self) -> None:
        super().__init__("too many requests at once; retry later and with fewer at a time")


class Draining(GatewayError):
    """The gateway is stopping."""

    reason = "draining"

    def __init__(self) -> None:
        super().__init__("this gateway is shutting down; retry: another one will answer")


class NotOffered(GatewayError):
    """The protocol has the method, this gateway does not offer it."""

    reason = "not_offered"


class FetchError(Sat2SoundError):
    """An image reference could not be fetched."""
