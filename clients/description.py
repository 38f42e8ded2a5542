"""Which model a server serves, as far as a client needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline
from sat2sound.configs import ModelConfig, load_config
from sat2sound.contract import DESCRIBED_MODEL, DESCRIPTION_PARAMETER
from sat2sound.errors import ConfigurationError
from sat2sound.satellite_types import SatelliteType

CONFIG_FILE = "satellite_preprocess/1/sat2sound.json"
DEFAULT_MODEL = "starter"
# What a person can say about an image -> the metadata token of the model that takes it up.
_METADATA = {
    "latitude": "location",
    "longitude": "location",
    "month": "month",
    "hour": "time",
    "audio_source": "audio_source",
    "caption_source": "caption_source",
}


@dataclass(frozen=True)
class ModelDescription:
    """config: the architecture, which says what images the model expects and which metadata it uses."""

    config: ModelConfig

    @property
    def name(self) -> str:
        """The model's name, e.g. "starter"."""
        return self.config.name

    @property
    def satellite(self) -> SatelliteType:
        """The image source that the model was trained on."""
        return self.config.satellite_type

    def ignored(self, options: Mapping[str, object]) -> list[str]:
        """Names of the given metadata (not None) that this model was not trained on and therefore masks."""
        parts = self.config.metadata.parts if self.config.metadata else ()
        return [name for name, part in _METADATA.items() if options.get(name) is not None and part not in parts]


def describe_repository(repository: Path) -> ModelDescription:
    """Read a built repository. Raises ConfigurationError if it is none."""
    try:
        text = (repository / CONFIG_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{repository} is not a built model repository ({error.strerror}); build one with `sat2sound export`"
        ) from None
    return ModelDescription(ModelConfig.from_json(text))


def describe_server(connection: Connection, deadline: Deadline) -> ModelDescription:
    """Ask a server which model it serves.

    Raises ClientError if it cannot be asked, ConfigurationError if its repository does not say.
    """
    parameters = connection.model_config(DESCRIBED_MODEL, deadline).parameters
    if DESCRIPTION_PARAMETER not in parameters:
        raise ConfigurationError(
            f"the server at {connection.url} does not say which model it serves; build its repository again with "
            "`sat2sound export`"
        )
    return ModelDescription(ModelConfig.from_json(parameters[DESCRIPTION_PARAMETER].string_value))


def default_description() -> ModelDescription:
    """The starter: what an unknown server is taken to expect of an image."""
    return ModelDescription(load_config(DEFAULT_MODEL))
