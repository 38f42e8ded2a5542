"""The Sat2Sound model in torch. `from sat2sound.models import Embedder, Sat2Sound`."""

from sat2sound.models.embedding import Concepts, Embedder
from sat2sound.models.sat2sound import Sat2Sound
from sat2sound.preprocessing import Metadata

__all__ = ["Concepts", "Embedder", "Metadata", "Sat2Sound"]
