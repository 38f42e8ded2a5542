"""One finished map of coloured cells on the tiny server, which tests of questions and pictures share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_maps import cell_colours, coloured_cells, write_raster

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps import api


@dataclass(frozen=True)
class MadeMap:
    """raster: 6 x 9 coloured cells, the last column without data. store: its map. client: of its server."""

    raster: Path
    store: Path
    client: Sat2SoundClient


@pytest.fixture(scope="session")
def made_map(tiny_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeMap]:
    folder = tmp_path_factory.mktemp("made-map")
    pixels = coloured_cells(cell_colours(6, 9))
    pixels[:, :, 8 * 256 :] = 0
    raster = write_raster(folder / "cells.tif", pixels, nodata=0)
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        report = api.embed(str(raster), folder / "cells.zarr", client, dtype="int8")
        assert np.array_equal(list(report.counts.values()), [0, 48, 6, 0])
        yield MadeMap(raster, folder / "cells.zarr", client)
