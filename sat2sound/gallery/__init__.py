"""The gallery that images are searched against: captions of soundscapes, their embeddings, and their file."""

from sat2sound.gallery.captions import CAPTIONS, read_captions
from sat2sound.gallery.entries import GalleryEntry
from sat2sound.gallery.table import Gallery, make_gallery, read_gallery, write_gallery

__all__ = ["CAPTIONS", "Gallery", "GalleryEntry", "make_gallery", "read_captions", "read_gallery", "write_gallery"]
