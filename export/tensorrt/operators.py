"""What TensorRT's ONNX parser knows: operators, data types of their data input, and limits that a graph can break.

Source: https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md as of TensorRT 10.15 (opset 9 to 24), and
https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/onnx-opset-guide.html for 11.x (opset 9 to 25, the same
list). Quantised types are left out: no graph of ours has them. So are operators whose limits nothing here checks
(Attention, DeformConv, GridSample, If, Loop, Scan, recurrent ones, ...): a graph that uses one of them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

OLDEST_OPSET, NEWEST_OPSET = 9, 24
TOP_K = 3840  # operators.md: K "must be less than" it; the operator's own page allows equality, this table does not
RESIZE = {
    "mode": ("nearest", "linear"),
    "coordinate_transformation_mode": (
        *("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
    ),
    "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    "keep_aspect_ratio_policy": ("stretch",),
}
RESIZE_DEFAULTS = {
    "mode": "nearest",
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "round_prefer_floor",
    "keep_aspect_ratio_policy": "stretch",
}

_FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16"})
_NUMBERS = _FLOATS | {"INT32", "INT64"}
_MOST = _NUMBERS | {"BOOL"}
_CASTS = _MOST | {"UINT8"}  # UINT8 may only enter or leave a network: through Cast

_BY_TYPES = {
    frozenset({"BOOL"}): "And Not Or Xor",
    frozenset({"FLOAT"}): "STFT",
    frozenset({"FLOAT", "FLOAT16"}): "Mish NonZero",
    _FLOATS: """Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos
        Cosh CumSum Einsum Elu Erf Exp Floor Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish
        InstanceNormalization IsInf LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MatMul MaxPool PRelu
        RMSNormalization Reciprocal Resize Round Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh
        ThresholdedRelu""",
    _NUMBERS: """Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max
        Mean Min Mod Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
        ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum
        TopK""",
    _MOST: """Concat Constant ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity OneHot Reshape
        ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
    _CASTS: "Cast CastLike",
}

OPERATORS: Mapping[str, frozenset[str]] = {name: types for types, names in _BY_TYPES.items() for name in names.split()}
"""Operator -> ONNX data types that its data input may have."""

CONSTANT_INPUTS: Mapping[str, int] = {
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), 1),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "CumSum", "OneHot", "TopK"), 1),
}
"""Operator -> position of the input (axes, depth, K) that must be known when the engine is built."""

ONE_OUTPUT = ("LayerNormalization", "MaxPool")  # further outputs (mean, indices) are not supported
