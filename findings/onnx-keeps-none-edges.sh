#!/usr/bin/env bash
# ONNX Runtime 1.32.0, onnxslim 0.1.98, onnxscript's optimizer and onnxsim 0.8.1 keep a convolution whose result is multiplied by
# zero, which is how the reference programs of cell spaces write the operation "none": an exported network pays for edges that
# it does not have. onnxsim even multiplies the zero into the convolution's weights, and keeps a convolution of nothing but zeros.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.32.0 onnxslim==0.1.98 onnxsim==0.8.1 onnxscript==0.7.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import onnxscript.optimizer
import onnxsim
import onnxslim
from onnx import TensorProto, helper, numpy_helper

weights = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "weights"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["convolved", "zero"], ["none"]),
        helper.make_node("Add", ["x", "none"], ["y"]),
    ],
    "skip plus none",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 16, 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 16, 16])],
    [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.zeros(1, np.float32), "zero")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
onnx.checker.check_model(model, full_check=True)

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
options.optimized_model_filepath = "optimised.onnx"
options.log_severity_level = 3
onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
simplified = onnxsim.simplify(model)[0]
kept = {
    f"onnxruntime {onnxruntime.__version__}": onnx.load("optimised.onnx"),
    f"onnxslim {onnxslim.__version__}": onnxslim.slim(model),
    f"onnxsim {onnxsim.__version__}": simplified,
    f"onnxscript {onnxscript.__version__}": onnxscript.optimizer.optimize(model),
}
for program, optimised in kept.items():
    operations = [node.op_type for node in optimised.graph.node]
    print(f"{program}: y = x + 0 * conv(x) becomes {operations}")
    assert "Conv" in operations, f"{program} drops the convolution now"
largest = max(np.abs(numpy_helper.to_array(tensor)).max() for tensor in simplified.graph.initializer)
print(f"onnxsim: the largest weight that is left is {largest}")
assert largest == 0
PYTHON
