"""The net by LitServe, with its batching on: ``serving_litserve.py FILE PORT``."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from starlette.requests import Request


class Net(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: Request) -> Any:  # LitServe reads JSON for this type
        return np.asarray(request["inputs"][0]["data"], np.float32)

    def batch(self, inputs: Any) -> Any:
        return np.stack(inputs)

    def predict(self, given: Any) -> Any:
        return self.session.run(None, {"x": given if given.ndim == 2 else given[None]})[0]

    def unbatch(self, output: Any) -> Any:
        return list(output)

    def encode_response(self, output: Any) -> Any:
        return {"outputs": [{"name": "p", "data": np.asarray(output).ravel().tolist()}]}


if __name__ == "__main__":
    server = litserve.LitServer(
        Net(max_batch_size=32, batch_timeout=0.001), accelerator="cpu", workers_per_device=1, timeout=30
    )
    server.run(
        port=int(sys.argv[2]), log_level="warning", generate_client_file=False, access_log=False, num_api_servers=1
    )
