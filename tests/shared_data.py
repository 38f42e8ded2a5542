"""Where the shared real data lies, for tests that use it; the product itself never needs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder(*parts: str) -> Path:
    """A path in the shared folder (env SAT2SOUND_SHARED, else ../shared); skips the test where it is absent."""
    path = Path(os.environ.get("SAT2SOUND_SHARED", ROOT.parent / "shared")).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared data absent: {path} (set SAT2SOUND_SHARED to its folder)")
    return path
