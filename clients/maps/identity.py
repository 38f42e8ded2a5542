"""Whether a map and a server speak of the same model: its name, and where it puts a fixed sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.description import describe_server
from sat2sound.clients.maps.errors import OtherModel
from sat2sound.configs import ModelConfig

PROBE = "waves break on a sandy beach"
# The same weights in another precision place the sentence at a cosine above 0.99; other weights, even of the same
# architecture and name, somewhere else altogether.
MIN_COSINE = 0.95
_DECIMALS = 6


@dataclass(frozen=True)
class ModelIdentity:
    """config: the architecture. probe: the unit embedding of PROBE, one number per dimension."""

    config: ModelConfig
    probe: tuple[float, ...]

    @property
    def name(self) -> str:
        """The model's name, e.g. "starter"."""
        return self.config.name

    def to_json(self) -> dict[str, Any]:
        """For a map's metadata."""
        return {"config": self.config.to_compact_json(), "probe": PROBE, "probe_embedding": list(self.probe)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ModelIdentity:
        """The inverse of `to_json`."""
        return cls(ModelConfig.from_json(document["config"]), tuple(map(float, document["probe_embedding"])))


def served_identity(client: Sat2SoundClient) -> ModelIdentity:
    """Which model a server serves. Raises ClientError, ConfigurationError."""
    config = describe_server(client.connection, Deadline(client.deadline)).config
    (probe,) = client.embed_text(PROBE)
    return ModelIdentity(config, tuple(round(float(value), _DECIMALS) for value in probe))


def check_same(stored: ModelIdentity, served: ModelIdentity, where: object) -> None:
    """Raise OtherModel, with both names, unless embeddings of the one can be compared with those of the other."""
    if stored.name == served.name and len(stored.probe) == len(served.probe):
        cosine = float(np.dot(stored.probe, served.probe))
        if cosine >= MIN_COSINE:
            return
        raise OtherModel(
            f"{where} was made by {stored.name!r} with other weights than the {served.name!r} that the server serves "
            f"(the same sentence lies at cosine {cosine:.2f})",
            fix="start a server with the weights that made the map, or embed the area again",
        )
    raise OtherModel(
        f"{where} was made by the model {stored.name!r}, and the server serves {served.name!r}",
        fix=f"start a server with {stored.name!r}, or embed the area again",
    )
