"""The API's document, OpenAPI 3.1, made from the declared routes and their models: ``/openapi.json``."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from starlette.responses import Response

import cluster
from cluster.web import access
from cluster.web.problems import ProblemBody
from cluster.web.routes import Action, Asked, NoQuery, Route, Stream, View

Schema = dict[str, Any]
Refs = Mapping[Any, Schema]
"""How a model is referred to."""
REF = "#/components/schemas/{model}"


class OneRoute(BaseModel):
    """What may be asked."""

    method: str
    path: str
    about: str
    role: str
    """The least that one needs."""


class About(BaseModel):
    """What this page is, and what may be asked of it."""

    version: str
    address: str
    routes: list[OneRoute]


def give(asked: Asked) -> Response:
    """The document."""
    from cluster.web.app import ROUTES as ALL

    return Response(orjson.dumps(document(ALL)), media_type="application/json")


def show(asked: Asked) -> About:
    """The page about the API."""
    from cluster.web.app import ROUTES as ALL

    routes = [
        OneRoute(method=_method(route).upper(), path=_path(route), about=route.about, role=route.role.word)
        for route in ALL
    ]
    address = access.own_address(asked.web, asked.request)
    return About(version=cluster.__version__, address=address, routes=routes)


def document(routes: Iterable[Route]) -> Schema:
    """The document of these routes."""
    routes = tuple(routes)
    models = sorted({model for route in routes for model in _models(route)} | {ProblemBody}, key=lambda m: m.__name__)
    # Two modules may have models of one name: how each is referred to, pydantic says.
    refs, schemas = models_json_schema(
        [(model, "serialization") for model in models], ref_template=REF, schema_generator=_WithFields
    )
    ref: Refs = {model: found for (model, _), found in refs.items()}
    paths: Schema = {}
    for route in routes:
        paths.setdefault(_path(route), {})[_method(route)] = _operation(route, ref)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cluster web",
            "version": cluster.__version__,
            "description": "Runs, results, nodes and models of a cluster. Each page has its data at the same address"
            " with .json; what changes something is below /api.",
        },
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`cluster token new NAME` prints one."},
                "session": {"type": "apiKey", "in": "cookie", "name": "cluster"},
            },
        },
    }


class _WithFields(GenerateJsonSchema):
    """Also says of each field what stands below it in its class."""

    def model_schema(self, schema: Any) -> Schema:
        found = super().model_schema(schema)
        for name, about in _about_fields(schema["cls"]).items():
            if name in found.get("properties", {}):
                found["properties"][name].setdefault("description", about)
        return found


def _about_fields(model: type[BaseModel]) -> Mapping[str, str]:
    bases = [base for base in reversed(model.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    return {name: about for base in bases for name, about in _about(base.__module__).get(base.__name__, {}).items()}


@functools.cache
def _about(module: str) -> Mapping[str, Mapping[str, str]]:
    """Class of a module -> its fields -> what stands below them."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: dict(_told(one.body)) for one in tree.body if isinstance(one, ast.ClassDef)}


def _told(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield field.target.id, inspect.cleandoc(below.value.value).replace("``", "`")


def _path(route: Route) -> str:
    path = re.sub(r":\w+}", "}", route.path)
    return f"{path}.json" if isinstance(route, View) else path


def _method(route: Route) -> str:
    return route.method.lower() if isinstance(route, Action) else "get"


def _result(route: Route) -> type[BaseModel] | None:
    if isinstance(route, Stream):
        return None
    handler = route.show if isinstance(route, View) else route.do
    found = typing.get_type_hints(handler).get("return")
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _models(route: Route) -> set[type[BaseModel]]:
    body = route.body if isinstance(route, Action) else None
    return {model for model in (_result(route), body) if model is not None}


def _operation(route: Route, ref: Refs) -> Schema:
    result = _result(route)
    if isinstance(route, Stream):
        answer: Schema = {"200": {"description": "The bytes.", "content": {route.media: {}}}}
    elif result is None:
        answer = {"204": {"description": "Done."}}
    else:
        answer = {
            "200": {"description": result.__doc__ or "", "content": {"application/json": {"schema": ref[result]}}}
        }
    problem = {"content": {"application/problem+json": {"schema": ref[ProblemBody]}}}
    found: Schema = {
        "summary": route.about,
        "description": f"Needs the role {route.role.word}.",
        "parameters": [*_in_path(route), *_in_query(route)],
        "responses": {**answer, "default": {"description": "What is wrong, and what to do.", **problem}},
    }
    if isinstance(route, Action) and route.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref[route.body]}}}
    if isinstance(route, Action) and route.takes_bytes:
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if isinstance(route, Action) and route.takes_form:
        found["requestBody"] = {"required": True, "content": {"multipart/form-data": {}}}
    return found


def _in_path(route: Route) -> list[Schema]:
    names = re.findall(r"{(\w+)(?::\w+)?}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(route: Route) -> list[Schema]:
    if route.query is NoQuery:
        return []
    schema = route.query.model_json_schema(schema_generator=_WithFields)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": about}
        for name, about in schema.get("properties", {}).items()
    ]


ROUTES: tuple[Route, ...] = (
    Stream("/openapi.json", give, "This document.", "application/json"),
    View("/api", show, "api.html", "How programs use this page."),
)
