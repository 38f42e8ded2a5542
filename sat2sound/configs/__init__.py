"""Model configurations by name: one small JSON file per model. Torch-free, so that the server can read them too."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sat2sound.contract import Dimensions
from sat2sound.errors import ConfigurationError
from sat2sound.satellite_types import SATELLITE_TYPES, SatelliteType

MetadataPart = Literal["audio_source", "caption_source", "location", "month", "time"]
_LARGEST = 1_000_000
METADATA_PARTS: tuple[MetadataPart, ...] = get_args(MetadataPart)  # the order of their tokens


@dataclass(frozen=True)
class SatelliteConfig:
    """Vision transformer. type: satellite type; stem: how pixels become patch tokens; width, depth, heads: its size."""

    type: str
    width: int
    depth: int
    heads: int
    image_size: int = 224
    patch_size: int = 16
    stem: Literal["patch", "convolutional"] = "patch"

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class MetadataConfig:
    """Fusion of metadata tokens with the image tokens. parts: which tokens exist, in `METADATA_PARTS` order."""

    parts: tuple[MetadataPart, ...]
    layers: int = 3
    heads: int = 8
    feedforward: int = 2048
    hidden: int = 64


@dataclass(frozen=True)
class AudioConfig:
    """HTS-AT. width: of the first stage (doubles at each); depths, heads: per stage; window: in patches; stem: how the
    folded spectrogram becomes patch tokens."""

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 8
    patch_size: int = 4
    image_size: int = 256
    stem: Literal["patch", "convolutional"] = "patch"

    @property
    def output_width(self) -> int:
        """Width of the output tokens."""
        return self.width << (len(self.depths) - 1)

    @property
    def output_tokens(self) -> int:
        """Number of output tokens: the last grid, with its frequency rows per time quarter averaged away."""
        grid = (self.image_size // self.patch_size) >> (len(self.depths) - 1)
        return 4 * grid


@dataclass(frozen=True)
class TextConfig:
    """Frozen text encoder. encoder: hub id, local folder, or `wheel:<package>`; buckets: padded lengths served."""

    encoder: str
    width: int
    max_tokens: int
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class CodebookConfig:
    """Shared concepts. size: how many; temperature: logits are divided by sqrt(embedding) and by this."""

    size: int
    temperature: float


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the architecture of one Sat2Sound model."""

    name: str
    embedding: int
    satellite: SatelliteConfig
    audio: AudioConfig
    text: TextConfig
    codebook: CodebookConfig
    metadata: MetadataConfig | None = None

    @property
    def satellite_type(self) -> SatelliteType:
        """The image source that this model was trained on."""
        return SATELLITE_TYPES[self.satellite.type]

    @property
    def image_tokens(self) -> int:
        """Satellite tokens that reach the codebook: patches, then metadata tokens."""
        return self.satellite.grid**2 + (len(self.metadata.parts) if self.metadata else 0)

    def dimensions(self, max_k: int) -> Dimensions:
        """What the wire contract's symbols stand for with this model and a gallery that returns max_k rows."""
        return Dimensions(
            embedding=self.embedding,
            image_tokens=self.image_tokens,
            audio_tokens=self.audio.output_tokens,
            audio_width=self.audio.output_width,
            text_width=self.text.width,
            max_k=max_k,
        )

    def to_json(self) -> str:
        """Readable JSON that `from_json` reads back to an equal configuration."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def to_compact_json(self) -> str:
        """The same on one line."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Parse and check. Raises ConfigurationError naming the field that is wrong."""
        try:
            raw = json.loads(text)
            metadata = raw.get("metadata")
            config = cls(
                name=str(raw["name"]),
                embedding=int(raw["embedding"]),
                satellite=_build(SatelliteConfig, raw["satellite"]),
                audio=_build(AudioConfig, raw["audio"]),
                text=_build(TextConfig, raw["text"]),
                codebook=_build(CodebookConfig, raw["codebook"]),
                metadata=_build(MetadataConfig, metadata) if metadata else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ConfigurationError(f"not a model configuration: {error!r}") from error
        _check(config)
        return config


def _build(kind: Any, raw: dict[str, Any]) -> Any:
    """A frozen dataclass from JSON, with lists as tuples. Raises ValueError for a field of another type."""
    built = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})
    for name, hint in get_type_hints(kind).items():
        value = getattr(built, name)
        if not _fits(value, hint):
            raise ValueError(f"{name} is {str(value)[:80]!r}, expected {getattr(hint, '__name__', hint)}")
    return built


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value can be a field of this type: numbers are positive, and no size is beyond all reason."""
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and bool(value) and all(_fits(item, get_args(hint)[0]) for item in value)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in (int, float):
        known = (int,) if hint is int else (int, float)
        return isinstance(value, known) and not isinstance(value, bool) and 0 < value <= _LARGEST
    return isinstance(value, hint)


def _check(config: ModelConfig) -> None:
    """Raise ConfigurationError on the first contradiction that would fail later in a less clear place."""
    satellite, audio = config.satellite, config.audio
    parts = config.metadata.parts if config.metadata else ()
    problems = {
        f"satellite type {satellite.type!r} is not one of {sorted(SATELLITE_TYPES)}": (
            satellite.type not in SATELLITE_TYPES
        ),
        "satellite image_size must be a multiple of patch_size": satellite.image_size % satellite.patch_size != 0,
        "satellite width must be a multiple of heads and of 4": satellite.width % satellite.heads != 0
        or satellite.width % 4 != 0,
        f"embedding is {config.embedding}, expected a positive width": not 0 < config.embedding <= _LARGEST,
        "audio windows of at most 32 patches, at most 256 patches per side": (
            audio.window > 32 or audio.image_size // audio.patch_size > 256
        ),
        "audio depths and heads must have the same length": len(audio.depths) != len(audio.heads),
        f"metadata parts must be a subset of {METADATA_PARTS}, in that order": (
            list(parts) != [part for part in METADATA_PARTS if part in parts]
        ),
        "text buckets must ascend to max_tokens": (
            list(config.text.buckets) != sorted(set(config.text.buckets))
            or config.text.buckets[-1:] != (config.text.max_tokens,)
        ),
    }
    for problem, wrong in problems.items():
        if wrong:
            raise ConfigurationError(f"configuration {config.name!r}: {problem}")


def config_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.json"))


def load_config(name_or_path: str | Path) -> ModelConfig:
    """A configuration by name ("starter") or from a JSON file. Raises ConfigurationError listing the known names."""
    path = Path(name_or_path)
    if path.suffix != ".json":
        path = Path(__file__).parent / f"{path.name}.json"
    if not path.is_file():
        raise ConfigurationError(f"no configuration {str(name_or_path)!r}; known: {', '.join(config_names())}")
    return ModelConfig.from_json(path.read_text(encoding="utf-8"))
