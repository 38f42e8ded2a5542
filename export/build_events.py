"""What a build tells its caller while it works."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class GraphEvent(NamedTuple):
    """What happens to a graph now. stage: "exporting", "converting", "checking", "done" or "reused"."""

    graph: str
    stage: str


Progress = Callable[[str], None]
Watch = Callable[[GraphEvent], None]
