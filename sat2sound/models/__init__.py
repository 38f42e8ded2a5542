"""The Sat2Sound model in torch. `from sat2sound.models import Sat2Sound`."""

from sat2sound.models.sat2sound import Sat2Sound

__all__ = ["Sat2Sound"]
