"""The only importer of onnxruntime: weights to a function from a batch to rows. Knows no label and no step."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from demure.errors import InvalidModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@cache
def _runtime() -> Any:
    """onnxruntime, which otherwise writes a device's id and its events below HOME when it is imported, and sends them to its
    makers (since 1.29). If something else in this process imported it before, that is that program's choice.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


@cache
def _share_memory() -> None:
    """Once a process. Sessions that others make in it are not touched: they do not ask for it."""
    ort = _runtime()
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    usual = dict.fromkeys(("arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk"), -1)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": 0, **usual}))  # 0: no limit


class Session:
    """A loaded graph, on the CPU. Safe to run from many threads at once."""

    def __init__(self, weights: bytes, name: str, *, input_name: str, output_name: str, threads: int = 1) -> None:
        """`threads` is the number of threads within one inference.

        One, with as many callers as cores, answers more images a second than any other split; and left unset, ONNX
        Runtime takes cores that a CPU limit has taken away. Raises InvalidModel if the graph cannot be loaded, or lacks
        that input or output.
        """
        ort = _runtime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # One pool of memory for the intermediate values of all models, and no plan for each that reserves its whole in advance:
        # 23 MiB less for two models and two threads, at the same speed (docs/decisions.md).
        _share_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False
        # Fold DequantizeLinear into float32 weights once, at load: in the hot path it costs 2 to 4 times the inference.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no base class for its own
            raise InvalidModel(f"{name}: the weights cannot be loaded ({error})") from error
        self._name, self._input, self._outputs = name, input_name, [output_name]
        self._check("input", input_name, self._session.get_inputs())
        self._check("output", output_name, self._session.get_outputs())

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """One inference: a batch of the graph's shape, to its output. Raises InvalidModel if they do not fit."""
        try:
            (output,) = self._session.run(self._outputs, {self._input: batch})
        except Exception as error:
            raise InvalidModel(f"{self._name}: the graph refused a batch of shape {batch.shape} ({error})") from error
        found: NDArray[np.float32] = output
        return found

    def _check(self, kind: str, wanted: str, found: list[Any]) -> None:
        names = [value.name for value in found]
        if wanted not in names:
            raise InvalidModel(f"{self._name}: {kind}.name: the graph has {', '.join(names)}, not {wanted!r}")
