"""``POST /v1/models/M/predict``: pictures, rows or other items, answered as the service's job answers them in a run."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from cluster.gateway import forms, shadow, web
from cluster.gateway.dispatch import Dispatch, Picked
from cluster.gateway.infer import problem_of
from cluster.gateway.problems import Gone, Problem, wrong
from cluster.gateway.web import Call
from cluster.services.messages import Answer

TIMEOUT = b"x-timeout-ms"
ROWS = "rows"
"""The name of the item that rows are."""


async def answer(call: Call, dispatch: Dispatch, bodies: web.Bodies, model: str, version: int | None) -> None:
    """Answer one request.

    Raises:
        Problem: It has no answer.
    """
    began_s = time.monotonic()
    dispatch.known(model)
    body = await bodies.read(call)
    items = await web.aside(len(body), _items, call, body)
    picked = await dispatch.pick(model, version, lambda: call.header(b"x-cluster-key") or call.header(b"x-request-id"))
    timeout_s = dispatch.timeout_s(picked.known, _timeout_us(call))
    dispatch.hub.admit(picked.line, len(items), picked.known.service.max_waiting, timeout_s)
    answers = await asyncio.gather(*_ask(call, dispatch, picked, items, timeout_s), return_exceptions=True)
    found, missing = {}, {}
    for name, one in zip(items, answers, strict=True):
        if isinstance(one, Answer) and one.ok:
            found[name] = _value(one, model)
        else:
            missing[name] = _why(one, model)
    if not found and len(items) == 1:
        raise missing.popitem()[1]
    status = 200 if found else max(problem.status for problem in missing.values())
    picked.line.codes[status] += 1
    said = {
        "model": model,
        "version": picked.version,
        **_of_rows(found),
        "missing": {name: problem.message for name, problem in missing.items()},
        "ms": round((time.monotonic() - began_s) * 1000, 1),
    }
    await web.respond(call.send, status, orjson.dumps(said))


def _ask(
    call: Call, dispatch: Dispatch, picked: Picked, items: dict[str, bytes], timeout_s: float
) -> list[asyncio.Future[Answer]]:
    asked = []
    for name, data in items.items():
        asking = dispatch.hub.post(picked.line, "item", name, data, timeout_s=timeout_s, is_gone=call.is_gone)
        if picked.known.service.shadow is not None:
            shadow.copy(dispatch.hub, picked, asking, "item", name, data)
        asked.append(asking)
    return asked


def _items(call: Call, body: bytes) -> dict[str, bytes]:
    kind = forms.kind_of(call.content_type)
    if kind == b"multipart/form-data":
        return forms.parts(body, call.content_type)
    if not body:
        raise wrong("the body is empty")
    if kind == b"application/json":
        return {ROWS: _rows(body)}
    if kind.startswith(b"image/") or kind in (b"", b"application/octet-stream"):
        return {forms.named(call.header(b"x-request-name")): body}
    raise Problem(
        415,
        f"the content type {kind.decode('latin-1')[:60]!r} cannot be used; send image/*, multipart/form-data,"
        " application/json with rows, or application/octet-stream",
    )


def _rows(body: bytes) -> bytes:
    """Rows as JSON: a list of objects, or an object with such a list as "rows"."""
    said = web.json_of(body)
    rows = said.get("rows") if isinstance(said, dict) else said
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise wrong('the body must be {"rows": [{"COLUMN": VALUE, …}, …]} with at least one row')
    return body if rows is said else orjson.dumps(rows)


def _of_rows(found: dict[str, Any]) -> dict[str, Any]:
    """The values by item; of rows one for each, None for a row that cannot be read."""
    value = found.get(ROWS)
    if isinstance(value, dict) and isinstance(value.get("values"), list):
        return {"rows": value["values"]}
    return {"items": found}


def _timeout_us(call: Call) -> int | None:
    said = call.header(TIMEOUT)
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 10 and int(said)):
        raise wrong(f"X-Timeout-Ms is no number of milliseconds: {said[:40]!r}")
    return int(said) * 1000


def _value(answer: Answer, model: str) -> Any:
    if not isinstance(answer.value, bytes):
        raise Problem(500, f"a replica of {model} gave tensors for an item")
    try:
        return orjson.loads(answer.value)
    except orjson.JSONDecodeError:
        raise Problem(500, f"a replica of {model} gave no JSON") from None


def _why(found: Any, model: str) -> Problem:
    if isinstance(found, Answer):
        return problem_of(found, model)
    if isinstance(found, (Problem, Gone)):
        if isinstance(found, Gone):
            raise found
        return found
    raise found
