"""The Lua scripts in ``lua/``: each is one step of a run that happens whole or not at all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis


class Scripts:
    """Runs them by name. Redis keeps them; each is sent once."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._known: dict[str, Callable[..., Any]] = {}

    def __call__(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """What ``lua/<name>.lua`` answers."""
        if name not in self._known:
            self._known[name] = self._redis.register_script(_text("prelude") + _text(name))
        return self._known[name](keys=keys, args=arguments)

    def word(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> str:
        """The answer of a script that gives one word."""
        return str(self(name, keys, arguments), "ascii")


@functools.cache
def _text(name: str) -> str:
    return (files("cluster.runs") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
