"""The one check that cannot be left to chance: does the python stub hand tensors on at all?"""

from __future__ import annotations

from typing import Any

import numpy as np


def require_working_tensors(pb_utils: Any) -> None:
    """Raise RuntimeError if tensors lose their contents on the way through the python stub.

    The stub of the nvidia-pytriton wheel does so under numpy 2, silently. The launcher refuses numpy 2 in the server's
    environment; this catches one that came in by another path, and leaves servers alone that work with numpy 2.
    """
    sent = np.arange(1, 1025, dtype=np.float32)
    received = pb_utils.Tensor.from_dlpack("PROBE", pb_utils.Tensor("PROBE", sent).to_dlpack()).as_numpy()
    if not np.array_equal(sent, received):
        raise RuntimeError(
            f"tensors lose their contents in this server's python stub under numpy {np.__version__} ({np.__file__}): "
            "every output would be empty. Install numpy<2 in the server's environment, and unset PYTHONPATH"
        )
