"""The page as an ASGI application: each declared route with the checks that stand before it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.routing import Route as Path

from cluster import logs
from cluster.web import (
    access,
    accounts,
    again,
    compressed,
    doors,
    downloads,
    forgetting,
    join,
    models,
    nodes,
    openapi,
    people,
    people_said,
    pictures,
    problems,
    render,
    results,
    results_text,
    run_links,
    runs,
    search,
    services,
    serving,
    static_files,
    submit,
    system,
    tokens,
    training_pages,
    uploads,
)
from cluster.web.context import Web
from cluster.web.problems import Problem, ProblemBody
from cluster.web.routes import Action, Asked, NoQuery, Route, Stream, View, Who

ROUTES: tuple[Route, ...] = (
    *runs.ROUTES,
    *results.ROUTES,
    *results_text.ROUTES,
    *search.ROUTES,
    *downloads.ROUTES,
    *run_links.ROUTES,
    *forgetting.ROUTES,
    *pictures.ROUTES,
    *people.ROUTES,
    *people_said.ROUTES,
    *uploads.ROUTES,
    *submit.ROUTES,
    *again.ROUTES,
    *training_pages.ROUTES,
    *join.ROUTES,
    *system.ROUTES,
    *nodes.ROUTES,
    *models.ROUTES,
    *services.ROUTES,
    *serving.ROUTES,
    *accounts.ROUTES,
    *tokens.ROUTES,
    *openapi.ROUTES,
)
"""All routes but those of ``PUBLIC``."""
PUBLIC = ("/enter", "/join", "/shared", "/health", "/static", "/favicon.ico")
"""What is answered without knowing who asks."""
IDLE_BODY_S = 30.0
"""A body that stands still for so long is given up."""
MAX_BODY_BYTES = 2**20
"""Of JSON."""
NO_PAGE = "there is no such page"
log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]
Receive = Callable[[], Awaitable[Any]]


def build(web: Web) -> Starlette:
    """The application."""
    app = Starlette(
        routes=[
            Path("/", lambda request: RedirectResponse("/runs", 303)),
            Path("/health", _health),
            *doors.paths(web),
            *join.doors(web),
            *run_links.doors(web),
            *(path for route in ROUTES for path in _paths(web, route)),
            Mount(static_files.ROOT, static_files.serve),
        ],
        exception_handlers={HTTPException: _refused(web), Problem: _refused(web), Exception: _refused(web)},
    )
    app.add_middleware(_Guard, web=web)
    return app


async def _health(_: Request) -> Response:
    """That this process answers; it needs no thread, which may all be busy."""
    return Response(b"ok\n", media_type="text/plain")


class _Guard:
    """What holds for each request, whatever its path: host, who asks, and that our own page has sent it."""

    def __init__(self, app: Any, web: Web) -> None:
        self._app, self._web = app, web

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                for name, value in access.HEADERS.items():
                    if name.lower().encode() not in given:
                        message["headers"].append((name.lower().encode(), value.encode()))
            await send(message)

        try:
            await self._admit(request)
        except Exception as error:  # noqa: BLE001 - told to the one who asks
            answer = _problem(self._web, request, error)
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, _in_time(receive), send_with_headers)

    async def _admit(self, request: Request) -> None:
        access.require_host(self._web, request)
        path = request.url.path
        if any(path == public or path.startswith(f"{public}/") for public in PUBLIC):
            access.require_own_page(self._web, request, None)
            return
        who = await access.identify(self._web, request)
        if who is None:
            raise access.nobody(self._web, request)
        access.require_own_page(self._web, request, who)
        request.state.who = who


def _in_time(receive: Receive) -> Receive:
    """Give up a request whose body does not come, which would keep what it holds for ever."""
    is_whole = False

    async def receive_in_time() -> Any:
        nonlocal is_whole
        if is_whole:  # what comes now is that the browser has gone
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), IDLE_BODY_S)
        except TimeoutError:
            raise Problem(408, f"nothing of the body came for {IDLE_BODY_S:.0f} s") from None
        is_whole = message["type"] != "http.request" or not message.get("more_body")
        return message

    return receive_in_time


def _paths(web: Web, route: Route) -> Sequence[Path]:
    if isinstance(route, View):
        shown = _answer(web, route, lambda asked, it: _smaller(asked, render.page(asked, route.template, it)))
        data = _answer(web, route, lambda asked, it: _smaller(asked, _json(it)))
        return Path(f"{route.path}.json", data, methods=["GET"]), Path(route.path, shown, methods=["GET"])
    if isinstance(route, Stream):
        return (Path(route.path, _answer(web, route, lambda asked, it: it), methods=["GET"]),)
    return (Path(route.path, _answer(web, route, lambda asked, it: _json(it)), methods=[route.method]),)


def _answer(web: Web, route: Route, respond: Callable[[Asked, Any], Response]) -> Handler:
    handler = route.show if isinstance(route, View) else route.give if isinstance(route, Stream) else route.do

    async def answer(request: Request) -> Response:
        who: Who = request.state.who
        try:
            if who.by_link and (isinstance(route, Action) or not route.by_link):
                raise Problem(404, NO_PAGE)
            if not who.may(route.role):
                raise Problem(403, f"this needs the role {route.role.word}; {who.name} has {who.role.word}")
            _require_type(route, request)
            asked = Asked(web, who, request.path_params, _query(route, request), await _body(route, request), request)
            it = await handler(asked) if inspect.iscoroutinefunction(handler) else await run_in_threadpool(
                handler, asked
            )  # fmt: skip
            if isinstance(route, Action):
                log.info(
                    "%s: %s %s", who.name, request.method, logs.plain(request.url.path),
                    extra={"event": "page-action", "by": who.name},
                )  # fmt: skip
            return it if isinstance(it, Response) else await run_in_threadpool(respond, asked, it)
        except Exception as error:  # noqa: BLE001 - told to the one who asks
            return _problem(web, request, error)

    return answer


def _query(route: Route, request: Request) -> BaseModel:
    try:
        return route.query.model_validate(dict(request.query_params)) if route.query is not NoQuery else NoQuery()
    except ValidationError as error:
        raise Problem(422, str(problems.of(error))) from None


def _require_type(route: Route, request: Request) -> None:
    if isinstance(route, Action):
        wanted = access.BYTES if route.takes_bytes else access.FORM if route.takes_form else access.JSON
        access.require_type(request, wanted)


async def _body(route: Route, request: Request) -> BaseModel | None:
    if not isinstance(route, Action) or route.body is None:
        return None
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY_BYTES:
            raise Problem(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    return route.body.model_validate_json(bytes(data))


def _smaller(asked: Asked, answer: Response) -> Response:
    return compressed.answered(asked.request.headers, answer)


def _json(it: Any) -> Response:
    if it is None:
        return Response(status_code=204)
    data = orjson.dumps(it.model_dump(mode="json"), option=orjson.OPT_NON_STR_KEYS)
    return Response(data, media_type="application/json")


def _refused(web: Web) -> Callable[[Request, Exception], Response]:
    return lambda request, error: _problem(web, request, error)


def _problem(web: Web, request: Request, error: Exception) -> Response:
    """The answer to a request that cannot be done: a page for people, JSON for programs."""
    if isinstance(error, HTTPException):
        found = Problem(error.status_code, NO_PAGE if error.status_code == 404 else error.detail)
    else:
        found = problems.of(error) or Problem(500, "this page has a defect: its log tells more")
        if found.status == 500:
            log.error("%s %s", request.method, request.url.path, exc_info=error)
    body = ProblemBody(status=found.status, detail=found.text, field=found.field)
    if not render.is_for_people(request):
        data = body.model_dump_json().encode()
        return Response(data, found.status, found.headers, media_type="application/problem+json")
    return render.problem(web, request, body, found.headers)
