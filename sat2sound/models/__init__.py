"""The Sat2Sound model in torch. `from sat2sound.models import Embedder, Sat2Sound`."""

from sat2sound.models.embedding import Concepts, Embedder, Metadata
from sat2sound.models.sat2sound import Sat2Sound

__all__ = ["Concepts", "Embedder", "Metadata", "Sat2Sound"]
