"""A soundscape map, step by step: embed an area once, then ask it anything.

Run the cells in an editor that knows `# %%`, or the whole file with

    SAT2SOUND_SERVER=localhost:8001 python docs/examples/maps.py

It works in the current folder and draws its own imagery; with a GeoTIFF of your own, leave out the second cell.
"""

# %%
import os
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from sat2sound.clients.maps import api
from sat2sound.clients.sample_scene import sample_scene

server = os.environ.get("SAT2SOUND_SERVER", "localhost:8001")  # `sat2sound serve` starts one

# %% Two synthetic beaches, 77 m wide each, as a georeferenced raster
imagery = Path("beach.tif")
scene = np.concatenate([np.moveaxis(sample_scene(seed), -1, 0) for seed in (20, 21)], axis=2)
profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 256, "width": 512, "photometric": "RGB"}
place = Affine(0.3, 0, 500_000, 0, -0.3, 4_400_000)  # 0.3 m per pixel
with rasterio.open(imagery, "w", crs="EPSG:32614", transform=place, **profile) as raster:
    raster.write(scene)

# %% Embed it: one crop of 77 m every 20 m. Stopped in the middle, the same call goes on where it was.
with api.connect(server) as client:
    report = api.embed(str(imagery), "beach.zarr", client, spacing=20.0)
print(report.counts)

# %% The map is an xarray.Dataset; nothing is read until something is asked of it
area = api.open_map(Path("beach.zarr"))
print(area)

# %% Ask it. Cells without enough imagery have no score.
with api.connect(server) as client:
    scores = api.score(area, client, texts=["waves breaking on a sandy beach", "cars rushing by on a motorway"])
scores = scores.compute()
print(scores.score.mean(dim=["y", "x"]).to_series())

# %% From here on it is plain xarray: where does the sea sound loudest, and is that in the west?
sea = scores.score.sel(query="waves breaking on a sandy beach")
best = sea.where(sea == sea.max(), drop=True)
print(f"best cell: x = {float(best.x[0]):.0f} m, y = {float(best.y[0]):.0f} m in {area.rio.crs}")
west = sea.sel(x=slice(None, 500_077))
print(f"mean in the west {float(west.mean()):.2f}, overall {float(sea.mean()):.2f}")

# %% A GeoTIFF of it, for any GIS
sea.rio.to_raster("sea.tif")
