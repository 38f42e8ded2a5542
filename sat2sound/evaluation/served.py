"""A running server as what is evaluated: the deployed graphs, at their precision, through the gRPC client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.description import describe_server
from sat2sound.clients.errors import InvalidItems, InvalidRequest
from sat2sound.errors import ConfigurationError
from sat2sound.evaluation.backends import Embedded, ImageSettings
from sat2sound.evaluation.ranks import Embeddings
from sat2sound.preprocessing.metadata import Metadata


class ServerBackend:
    """client: connected; it bounds each call by its deadline. Errors that are not about items come as ClientError."""

    def __init__(self, client: Sat2SoundClient, address: str, settings: ImageSettings | None = None) -> None:
        self.client, self.address, self.settings = client, address, settings or ImageSettings()

    def describe(self) -> dict[str, str]:
        """Address and version of the server, and the architecture that it says it serves."""
        known = {"server": self.address, "server_version": self.client.server_version()}
        try:
            served = describe_server(self.client.connection, Deadline(self.client.deadline))
        except ConfigurationError:  # a repository built before servers said so
            return known
        return {**known, "architecture": served.name}

    def images(self, files: Sequence[bytes], metadata: Sequence[Metadata], satellite: str | None = None) -> Embedded:
        """See `Backend`."""
        known: dict[str, Any] = {name: [getattr(each, name) for each in metadata] for name in vars(Metadata())}
        options = {name: values for name, values in known.items() if any(value is not None for value in values)}
        if satellite is not None:
            options["satellite"] = satellite
        options.update({name: value for name, value in vars(self.settings).items() if value is not None})
        return _embed(lambda: self.client.embed_satellite(files, **options), len(files))

    def recordings(self, files: Sequence[bytes]) -> Embedded:
        """See `Backend`."""
        return _embed(lambda: self.client.embed_audio(files), len(files))

    def texts(self, texts: Sequence[str]) -> Embedded:
        """See `Backend`."""
        return _embed(lambda: self.client.embed_text(texts), len(texts))


def _embed(call: Callable[[], Embeddings], count: int) -> Embedded:
    try:
        return Embedded(call())
    except InvalidItems as error:
        return Embedded(np.asarray(error.results, np.float32), dict(error.items))
    except InvalidRequest as error:
        if count > 1:
            raise  # not about certain items: the request itself is wrong
        return Embedded(np.full((1, 0), np.nan, np.float32), {0: error.problem})
