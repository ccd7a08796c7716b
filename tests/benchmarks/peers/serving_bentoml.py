"""The net by BentoML, with its batching on: `bentoml serve serving_bentoml:Net`; NET names the file."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, traffic={"timeout": 30})
class Net:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["NET"], options, providers=["CPUExecutionProvider"])

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def infer(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.session.run(None, {"x": x.astype(np.float32)})[0]
        return found
