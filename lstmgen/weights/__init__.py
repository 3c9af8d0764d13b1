"""Weights of other people's LSTM, GRU and RNN -> the parameters of our modules, and back.

    params = weights.from_torch("lstm", torch.nn.LSTM(8, 32).state_dict())
    W, R, B, P = weights.to_onnx("lstm", params)

`params` are the arrays of `init_params`, which every target takes. The cell is a spec of switches: a path, the name of a
packaged spec, a text, or what `lstmgen.load` returned. What the other side does not have, and what does not fit, is a
`ValueError`. The `..._options` say how the other side must be set up to compute the same.

May import: everything up to pipeline. Start reading at layout.py, our side; then torch.py, the shortest of the others.
"""

from .keras import from_keras, keras_options, to_keras
from .onnx import OnnxWeights, from_onnx, onnx_options, to_onnx
from .torch import from_torch, to_torch, torch_options

__all__ = [
    "OnnxWeights", "from_keras", "from_onnx", "from_torch", "keras_options", "onnx_options", "to_keras", "to_onnx",
    "to_torch", "torch_options",
]
