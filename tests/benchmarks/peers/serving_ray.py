"""The net by Ray Serve, with its batching on: ``serving_ray.py FILE PORT``."""

import sys
import threading
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.responses import JSONResponse

FILE, PORT = sys.argv[1], int(sys.argv[2])


@serve.deployment(num_replicas=1, max_ongoing_requests=512, ray_actor_options={"num_cpus": 0.5})
class Net:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.001)  # type: ignore[untyped-decorator]
    async def many(self, rows: Any) -> Any:
        return list(self.session.run(None, {"x": np.stack(rows)})[0])

    async def __call__(self, request: Any) -> Any:
        body = await request.json()
        found = await self.many(np.asarray(body["inputs"][0]["data"], np.float32))
        return JSONResponse({"outputs": [{"name": "p", "data": found.tolist()}]})  # a dict has no content-length


ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", object_store_memory=200 * 2**20)
serve.start(http_options={"host": "127.0.0.1", "port": PORT})
serve.run(Net.bind(), route_prefix="/infer", name="net")  # type: ignore[attr-defined]
threading.Event().wait()
