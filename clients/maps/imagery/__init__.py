"""Where pictures of the ground come from: a raster file, a STAC catalogue, or a service of tiles."""

from sat2sound.clients.maps.imagery.base import Imagery, ImageryFacts, View

__all__ = ["Imagery", "ImageryFacts", "View"]
