"""The net in the process of a Starlette application, a row at a time: ``serving_starlette.py FILE PORT``."""

import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


async def infer(request: Request) -> Response:
    tensor = orjson.loads(await request.body())["inputs"][0]
    given = np.asarray(tensor["data"], np.float32).reshape(tensor["shape"])
    (found,) = session.run(None, {"x": given})
    output = {"name": "p", "datatype": "FP32", "shape": found.shape, "data": found.ravel().tolist()}
    said = {"model_name": "net", "model_version": "1", "outputs": [output]}
    return Response(orjson.dumps(said), media_type="application/json")


app = Starlette(routes=[Route("/v2/models/net/infer", infer, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
