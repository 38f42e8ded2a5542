"""The package needs no torch, and gives the same numbers under the server's Python (numpy 1.26)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import made_inputs
import numpy as np
from PIL import Image

from sat2sound.configs import load_config
from sat2sound.preprocessing import (
    Limits,
    SatelliteRequest,
    log_mel,
    normalise_pixels,
    prepare_audio,
    prepare_satellite,
)
from sat2sound.preprocessing.audio import SAMPLES
from sat2sound.serving.environment import ServingEnvironment


def test_importing_imports_neither_torch_nor_a_server() -> None:
    code = "import sys, sat2sound.preprocessing; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {"numpy", "PIL", "soundfile", "soxr", "tokenizers"} <= loaded
    assert not loaded & {
        "torch",
        "transformers",
        "onnxruntime",
        "tritonclient",
        "pytriton",
        "rasterio",
        "scipy",
        "onnx",
    }


SCRIPT = """if True:
    import sys
    import numpy as np
    from pathlib import Path
    from sat2sound.configs import load_config
    from sat2sound.preprocessing import *
    folder = Path(sys.argv[1])
    request = SatelliteRequest((folder / "deep.tif").read_bytes(), latitude=1.5, longitude=2.5)
    pixels, conditions = prepare_satellite(request, load_config("starter"), Limits())
    np.savez(
        folder / "result.npz", pixels=pixels, normalised=normalise_pixels(pixels), conditions=conditions.as_array(),
        noise=log_mel(np.load(folder / "noise.npy")),
        recording=prepare_audio((folder / "recording.ogg").read_bytes(), Limits(), 0.5), version=np.__version__,
    )
"""


def test_the_servers_python_computes_the_same(triton_environment: ServingEnvironment, tmp_path: Path) -> None:
    picture = np.asarray(made_inputs.picture())[:, :, 1].astype(np.uint16) * 13
    (tmp_path / "deep.tif").write_bytes(made_inputs.encoded(Image.fromarray(picture), "TIFF", compression="tiff_lzw"))
    (tmp_path / "recording.ogg").write_bytes(made_inputs.recording(3.0, 44_100, "OGG"))
    noise = (0.1 * np.random.Generator(np.random.PCG64(6)).standard_normal(SAMPLES)).astype(np.float32)
    np.save(tmp_path / "noise.npy", noise)
    python = triton_environment.prefix / "bin" / "python"
    subprocess.run([python, "-W", "error", "-c", SCRIPT, tmp_path], check=True, timeout=120)

    theirs = np.load(tmp_path / "result.npz")
    assert str(theirs["version"]).startswith("1.")
    request = SatelliteRequest((tmp_path / "deep.tif").read_bytes(), latitude=1.5, longitude=2.5)
    pixels, conditions = prepare_satellite(request, load_config("starter"), Limits())
    np.testing.assert_array_equal(theirs["pixels"], pixels)
    np.testing.assert_array_equal(theirs["conditions"], conditions.as_array())
    assert np.abs(theirs["normalised"] - normalise_pixels(pixels)).max() < 1e-6
    assert np.abs(theirs["noise"] - log_mel(noise)).max() < 1e-3
    mine = prepare_audio((tmp_path / "recording.ogg").read_bytes(), Limits(), 0.5)
    assert np.abs(theirs["recording"] - mine).max() < 1e-3
