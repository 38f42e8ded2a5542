"""What ends a captioning run. A single image that cannot be captioned does not: it is recorded with its reason.

CaptioningError
|-- EndpointRefused       the endpoint answers, but not to us: token, address or model name are wrong
`-- EndpointUnavailable   it failed too often; the run can be continued later
"""

from __future__ import annotations

from sat2sound.errors import Sat2SoundError


class CaptioningError(Sat2SoundError):
    """Base. problem: what is wrong; fix: what to do."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; to fix it, {fix}")


class EndpointRefused(CaptioningError):
    """The endpoint answers, but not to us."""


class EndpointUnavailable(CaptioningError):
    """The endpoint failed too often."""
