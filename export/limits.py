"""Sizes that exports keep to."""

from __future__ import annotations

# Protobuf ends at 2 GiB; half of it leaves room for what converters add. A graph whose weights are larger keeps them
# beside it, in <name>.onnx.data.
EXTERNAL_DATA_ABOVE = 1 << 30
