"""What runs a module when its latency is measured: torch itself, or a runtime in which it would be deployed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError, missing_extra, unknown_name

RUNTIMES = ("torch", "onnxruntime", "openvino")
TOLERANCE = 1e-2
"""Difference from torch's output, as a share of its largest value, above which it is not the same network."""


def runner(module: nn.Module, inputs: Tensor, runtime: str) -> Callable[[], Any]:
    """A function that passes `inputs` once, in single precision and with as many threads as torch has.

    Args:
        module: in evaluation mode, on the device of `inputs`.
        inputs: one batch.
        runtime: one of `RUNTIMES`; all but torch run on the processor alone.

    Raises:
        FrugalnasError: where the runtime is unknown or not installed, cannot run there, or gives another output than torch.
    """
    if runtime not in RUNTIMES:
        raise unknown_name("runtime", runtime, RUNTIMES)
    if runtime == "torch":
        return lambda: module(inputs)
    if inputs.device.type != "cpu":
        raise FrugalnasError(f"{runtime} is measured on the processor, not on {inputs.device}; leave `device` out")
    try:
        run = (_in_onnxruntime if runtime == "onnxruntime" else _in_openvino)(module, inputs)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
    with torch.no_grad():
        wanted = module(inputs).numpy()
    error_share = float(np.abs(run() - wanted).max() / max(float(np.abs(wanted).max()), 1e-6))
    if not error_share <= TOLERANCE:
        raise FrugalnasError(
            f"{runtime} gives other outputs than torch (by {error_share:.2g}); choose another `runtime`"
        )
    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def onnx_session(model: Path | bytes, threads: int = 0) -> Any:
    """An ONNX model, in a file or not, on the processor in ONNX Runtime; 0 threads leave their number to it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _in_onnxruntime(module: nn.Module, inputs: Tensor) -> Callable[[], Any]:
    import onnx  # noqa: F401  # torch's exporter needs it and says so less plainly

    model = io.BytesIO()
    with quiet():
        # The older exporter takes a thirtieth of the time of the newer one, for each of some hundred blocks.
        torch.onnx.export(module, (inputs,), cast(Any, model), dynamo=False, input_names=["images"])
    session = onnx_session(model.getvalue(), threads=torch.get_num_threads())
    fed = {"images": inputs.numpy()}
    return lambda: session.run(None, fed)[0]


def _in_openvino(module: nn.Module, inputs: Tensor) -> Callable[[], Any]:
    import openvino

    with quiet():
        model = openvino.convert_model(module, example_input=inputs)
    model.reshape(list(inputs.shape))
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    fed = [inputs.numpy()]

    def run() -> Any:
        request.infer(fed)
        return request.get_output_tensor(0).data

    return run
