"""``POST /v2/models/M/infer``: tensors in, tensors out, as KServe's protocol V2 has it."""

from __future__ import annotations

from cluster.gateway import shadow, tensors, web
from cluster.gateway.dispatch import Dispatch
from cluster.gateway.problems import Problem, wrong
from cluster.gateway.web import Call
from cluster.services.messages import UNAVAILABLE, Answer

HEADER_LENGTH = b"inference-header-content-length"


async def answer(call: Call, dispatch: Dispatch, bodies: web.Bodies, model: str, version: int | None) -> None:
    """Answer one request.

    Raises:
        Problem: It has no answer.
    """
    if version is None:
        dispatch.known(model)  # before 64 MiB are read for nothing
    body = await bodies.read(call)
    asked = await web.aside(len(body), tensors.read, body, _header_bytes(call))
    picked = await dispatch.pick(model, version, lambda: call.header(b"x-cluster-key") or asked.id)
    known, version, line = picked
    if known.job is not None and known.job.infer is None:
        raise wrong(f"{model} takes no tensors; use /v1/models/{model}/predict")
    timeout_s = dispatch.timeout_s(known, asked.timeout_us)
    dispatch.hub.admit(line, 1, known.service.max_waiting, timeout_s)
    asking = dispatch.hub.post(line, "tensor", "", asked.data, asked.shapes, timeout_s=timeout_s, is_gone=call.is_gone)
    if known.service.shadow is not None:
        shadow.copy(dispatch.hub, picked, asking, "tensor", "", asked.data, asked.shapes)
    found = await asking
    if found.status != 200:
        raise problem_of(found, model)
    if type(found.value) is not tuple:
        raise Problem(500, f"a replica of {model} gave no tensors")
    size_bytes = sum(len(tensor.data) for tensor in found.value)
    text, head_bytes = await web.aside(size_bytes, tensors.write, model, version, asked, found.value)
    line.codes[200] += 1
    if head_bytes is None:
        await web.respond(call.send, 200, text)
    else:
        await web.respond_binary(call.send, text, head_bytes)


def problem_of(found: Answer, model: str) -> Problem:
    """What a client is told of an answer without a value."""
    return Problem(found.status, f"{model}: {found.problem}", 1 if found.status == UNAVAILABLE else None)


def _header_bytes(call: Call) -> int | None:
    said = call.header(HEADER_LENGTH)
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 12):
        raise wrong(f"Inference-Header-Content-Length is no number of bytes: {said[:40]!r}")
    return int(said)
