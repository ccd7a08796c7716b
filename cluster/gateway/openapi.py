"""The OpenAPI document of the gateway: ``/openapi.json``."""

from __future__ import annotations

from typing import Any

import cluster
from cluster.gateway.forms import MAX_ITEMS
from cluster.gateway.tensors import DATATYPES
from cluster.services.messages import MAX_DIMENSIONS, MAX_NAME_CHARS, MAX_TENSORS

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
MODEL_NAME = "[a-z0-9][a-z0-9-]{0,63}"
MEANINGS = {
    400: "The request is wrong; the text says where.",
    401: "There is no token, or a wrong one.",
    404: "No such model, version or path.",
    405: "Another method is needed.",
    408: "The request came too slowly.",
    413: "The body, or the number of items, is too large.",
    415: "The content type cannot be used.",
    422: "No item could be read, or the tensors are not those of the model.",
    429: "Too many requests wait; ask again after `Retry-After` seconds.",
    500: "The model, or the gateway, failed.",
    503: "No replica is ready, or Redis is away; ask again after `Retry-After` seconds.",
    504: "No answer came within the deadline.",
}
ANY = (401, 405)
"""What any route but health may answer."""
ASKING = (400, 404, 408, 413, 422, 429, 500, 503, 504)


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cluster",
            "version": cluster.__version__,
            "description": "Models of a cluster, answered in real time. Tensors as KServe's protocol V2 has them.",
        },
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "parameters": _parameters(),
        },
    }


def _paths() -> Schema:
    paths: Schema = {
        "/v2/health/live": {"get": _get("Whether the gateway runs.", {"live": {"type": "boolean"}}, open_=True)},
        "/v2/health/ready": {
            "get": _get("Whether all models can be asked.", {"ready": {"type": "boolean"}}, 503, open_=True)
        },
        "/v2": {"get": _get("What this server is.", {"name": TEXT, "version": TEXT, "extensions": _list(TEXT)})},
        "/v1/models": {"get": _get("All services.", {"models": _list({"type": "object"})}, 503)},
        "/metrics": {"get": {"summary": "Numbers for Prometheus.", "responses": {"200": _text(), **_problems(*ANY)}}},
        "/openapi.json": {"get": _get("This document.", {"openapi": TEXT})},
    }
    for versions in ("", "/versions/{version}"):
        at = f"/v2/models/{{model}}{versions}"
        given = [_given("model")] + ([_given("version")] if versions else [])
        about = {"name": TEXT, "versions": _list(TEXT), "platform": TEXT, "inputs": _list({"type": "object"})}
        paths[at] = {"parameters": given, "get": _get("What a model takes and gives.", about, 400, 404, 503)}
        ready = _get("Whether a model can be asked.", {"name": TEXT, "ready": {"type": "boolean"}}, 400, 404, 503)
        paths[f"{at}/ready"] = {"parameters": given, "get": ready}
        paths[f"{at}/infer"] = {"parameters": given, "post": _infer()}
        paths[f"/v1/models/{{model}}{versions}/predict"] = {"parameters": given, "post": _predict()}
    return paths


def _infer() -> Schema:
    return {
        "summary": "Answer tensors with tensors.",
        "parameters": [_given("key")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("InferRequest")}}},
        "responses": {
            "200": {
                "description": "The tensors that the model gives.",
                "content": {
                    "application/json": {"schema": _ref("InferAnswer")},
                    "application/octet-stream": {"schema": {}},
                },
            },
            **_problems(*ANY, *ASKING),
        },
    }


def _predict() -> Schema:
    files = {
        "type": "object",
        "additionalProperties": {"type": "string", "format": "binary"},
        "maxProperties": MAX_ITEMS,
    }
    return {
        "summary": "Answer pictures, rows or other items as the service's job does.",
        "parameters": [_given("key"), _given("name"), _given("timeout")],
        "requestBody": {
            "required": True,
            "content": {
                "image/jpeg": {"schema": {}},
                "image/png": {"schema": {}},
                "application/octet-stream": {"schema": {}},
                "multipart/form-data": {"schema": {**files, "minProperties": 1}},
                "application/json": {"schema": _ref("Rows")},
            },
        },
        "responses": {
            "200": {
                "description": "A value for each item; `missing` says of each other one why it has none.",
                "content": {"application/json": {"schema": _ref("PredictAnswer")}},
            },
            **_problems(*ANY, *ASKING, 415),
        },
    }


def _schemas() -> Schema:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": MAX_DIMENSIONS}
    tensor = {"name": {**TEXT, "maxLength": MAX_NAME_CHARS}, "shape": shape, "datatype": {"enum": list(DATATYPES)}}
    tensor_schema = _object({**tensor, "data": {"type": "array"}, "parameters": {"type": "object"}}, *tensor)
    wanted = _object({"name": TEXT, "parameters": {"type": "object"}}, "name")
    timeout = {"type": "integer", "minimum": 1, "description": "The deadline in microseconds."}
    return {
        "Error": _object({"error": TEXT}, "error"),
        "Tensor": tensor_schema,
        "InferRequest": _object(
            {
                "id": TEXT,
                "inputs": {"type": "array", "items": _ref("Tensor"), "minItems": 1, "maxItems": MAX_TENSORS},
                "outputs": _list(wanted),
                "parameters": {"type": "object", "properties": {"timeout": timeout}},
            },
            "inputs",
        ),
        "InferAnswer": _object(
            {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": _list(_ref("Tensor"))},
            "model_name", "model_version", "outputs",
        ),
        "Rows": _object({"rows": {**_list({"type": "object"}), "minItems": 1}}, "rows"),
        "PredictAnswer": _object(
            {
                "model": TEXT,
                "version": {"type": ["integer", "null"]},
                "items": {"type": "object"},
                "rows": {"type": "array"},
                "missing": {"type": "object", "additionalProperties": TEXT},
                "ms": {"type": "number"},
            },
            "model", "version", "missing", "ms",
        ),
    }  # fmt: skip


def _parameters() -> Schema:
    return {
        "model": {
            "name": "model", "in": "path", "required": True, "description": "A service, or NAME:VERSION.",
            "schema": {"type": "string", "pattern": f"^{MODEL_NAME}(:[1-9][0-9]{{0,8}})?$"},
        },
        "version": {
            "name": "version", "in": "path", "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 10**9 - 1},
        },
        "key": {
            "name": "X-Cluster-Key", "in": "header", "schema": TEXT,
            "description": "Requests with the same key go to the same version of a canary.",
        },
        "name": {"name": "X-Request-Name", "in": "header", "schema": TEXT, "description": "The name of a single item."},
        "timeout": {
            "name": "X-Timeout-Ms", "in": "header", "description": "A deadline shorter than that of the service.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 10**9 - 1},
        },
    }  # fmt: skip


def _get(summary: str, properties: Schema, *codes: int, open_: bool = False) -> Schema:
    said = {"description": summary, "content": {"application/json": {"schema": _object(properties, *properties)}}}
    more = (405,) if open_ else ANY
    found: Schema = {"summary": summary, "responses": {"200": said, **_problems(*more, *codes)}}
    return {**found, "security": []} if open_ else found


def _problems(*codes: int) -> Schema:
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(code): {"description": MEANINGS[code], "content": content} for code in sorted(codes)}


def _text() -> Schema:
    return {"description": "Text of Prometheus.", "content": {"text/plain": {"schema": TEXT}}}


def _given(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}
