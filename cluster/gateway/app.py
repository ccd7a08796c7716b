"""The gateway as an ASGI application: who asks, for what, and what is answered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson

import cluster
from cluster.gateway import infer, metrics, openapi, predict, web
from cluster.gateway.auth import Auth
from cluster.gateway.board import Known
from cluster.gateway.dispatch import Dispatch
from cluster.gateway.paths import METHODS, OPEN, Route, read
from cluster.gateway.problems import Gone, Problem, unavailable
from cluster.gateway.tensors import V2_OF
from cluster.gateway.web import Call, Receive, Scope, Send
from cluster.names import Target

MOST_PATHS = 4096
log = logging.getLogger(__name__)


class App:
    """Answers HTTP requests. Of each it logs nothing: what people send is theirs."""

    def __init__(self, dispatch: Dispatch, auth: Auth) -> None:
        self._dispatch = dispatch
        self._auth = auth
        self._bodies = web.Bodies()
        self._paths: dict[str, Route] = {}
        self.codes: Counter[int] = Counter()
        """Of answers that belong to no version of a service."""
        self._answers: Mapping[str, Callable[[Call, Route], Awaitable[None]]] = {
            "live": self._live, "ready": self._ready, "server": self._server, "models": self._models,
            "model": self._model, "model-ready": self._model_ready, "metrics": self._metrics, "openapi": self._openapi,
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            return
        call = Call(scope, receive, send)
        try:
            await self._answer(call)
        except Problem as problem:
            self.codes[problem.status] += 1
            await web.respond(send, problem.status, web.error_body(problem.message), web.headers_of(problem))
        except Gone:
            self.codes[499] += 1
        except Exception:
            log.exception("the gateway failed to answer %s of a %s", call.method, self._route(call.path).what or "path")
            self.codes[500] += 1
            await web.respond(send, 500, web.error_body("the gateway failed; its log says why"))

    async def _answer(self, call: Call) -> None:
        try:
            route = self._paths.get(call.path) or self._route(call.path)
        except Problem:
            await self._auth.check(call.authorization)
            raise
        what = route.what
        if what not in OPEN:
            await self._auth.check(call.authorization)
        if what == "infer" and call.method == "POST":
            await infer.answer(call, self._dispatch, self._bodies, route.model, route.version)
            return
        if not what:
            raise Problem(404, f"nothing is at {call.path[:200]!r}; /openapi.json lists all routes")
        if call.method not in METHODS[what]:
            allowed = ", ".join(METHODS[what])
            message = web.error_body(f"{call.method} cannot be used here, but {allowed}")
            self.codes[405] += 1
            await web.respond(call.send, 405, message, [(b"allow", allowed.encode())])
            return
        if what == "predict":
            await predict.answer(call, self._dispatch, self._bodies, route.model, route.version)
        else:
            await self._answers[what](call, route)

    def _route(self, path: str) -> Route:
        route = read(path)
        if route.what:  # others may be as long as a client likes, and it needs no token to send them
            if len(self._paths) >= MOST_PATHS:
                self._paths.clear()
            self._paths[path] = route
        return route

    async def _live(self, call: Call, route: Route) -> None:
        await web.respond(call.send, 200, b'{"live":true}')

    async def _ready(self, call: Call, route: Route) -> None:
        """V2: all models can be asked."""
        state = self._dispatch.state
        if state.problem:
            raise unavailable(state.problem)
        if not self._dispatch.hub.is_connected:
            raise unavailable("the gateway has no connection to the cluster's Redis")
        if any(known.service.replicas and not known.is_ready for known in state.services.values()):
            raise unavailable("a service has no ready replica; /v1/models says which")  # its name needs a token
        await web.respond(call.send, 200, b'{"ready":true}')

    async def _server(self, call: Call, route: Route) -> None:
        said = {"name": "cluster", "version": cluster.__version__, "extensions": ["binary_tensor_data"]}
        await web.respond(call.send, 200, orjson.dumps(said))

    async def _models(self, call: Call, route: Route) -> None:
        found = [_about(known) for _, known in sorted(self._dispatch.state.services.items())]
        await web.respond(call.send, 200, orjson.dumps({"models": found}))

    async def _model(self, call: Call, route: Route) -> None:
        known = self._dispatch.known(route.model)
        version = known.used if route.version is None else route.version
        if route.version is not None and version not in known.ready:
            await self._dispatch.pick(route.model, version, lambda: None)
        takes = await self._dispatch.takes(known, version)
        said = {
            "name": known.service.name,
            "versions": [str(ready) for ready in sorted(v for v in known.ready if v)],
            "platform": f"cluster_{known.service.job}",
            "inputs": [_tensor(*one) for one in takes.inputs] if takes else [],
            "outputs": [_tensor(*one) for one in takes.outputs] if takes else [],
        }
        await web.respond(call.send, 200, orjson.dumps(said))

    async def _model_ready(self, call: Call, route: Route) -> None:
        known = self._dispatch.known(route.model)
        version = known.used if route.version is None else route.version
        if version not in known.ready:
            if route.version is not None:
                await self._dispatch.see_version(known, Target(route.model, version))
            raise unavailable(f"no replica of {route.model} is ready")
        said = {"name": route.model, "ready": True}
        await web.respond(call.send, 200, orjson.dumps(said))

    async def _openapi(self, call: Call, route: Route) -> None:
        await web.respond(call.send, 200, orjson.dumps(openapi.document()))

    async def _metrics(self, call: Call, route: Route) -> None:
        text = metrics.text(self._dispatch.hub, self._dispatch.state, self.codes)
        await web.respond_text(call.send, text.encode(), metrics.CONTENT_TYPE)


def _tensor(name: str, dtype: str, shape: Sequence[int | None]) -> dict[str, object]:
    """As V2 writes it: -1 for any number of rows."""
    return {"name": name, "datatype": V2_OF[dtype][0], "shape": [-1 if side is None else side for side in shape]}


def _about(known: Known) -> dict[str, object]:
    return {
        "name": known.service.name,
        "job": known.service.job,
        "version": known.used,
        "replicas": known.service.replicas,
        "ready": sum(known.ready.values()),
    }
