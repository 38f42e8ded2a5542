"""Soundscape maps: embed an area once, ask it anything. The Python API is `sat2sound.clients.maps.api`."""
