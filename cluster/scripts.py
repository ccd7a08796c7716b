"""Lua scripts by name: each is one step that Redis does whole or not at all.

A package keeps its scripts in its folder ``lua/``, one file a step. The head of the file says what the step takes::

    -- KEYS: run events
    -- ARGV: state error fence names...
    --   fence: "" ends it whatever lease is held

The script reads them as ``K.run`` and ``A.state``. An argument that ends in ``...`` is a list and comes last: its
values are ``ARGV[FIRST]`` to ``ARGV[#ARGV]``. Where the folder has a ``prelude.lua``, that stands before each script;
it builds keys from ``OURS`` and ``QUEUE`` of ``keys``.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.keys import IN_LUA

if TYPE_CHECKING:
    import redis

PRELUDE = "prelude"
REST = "..."


class Script(NamedTuple):
    """One script, and the names of what it takes."""

    text: str
    """As Redis gets it."""
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    """Without the list at the end."""
    rest: str
    """The list at the end; "" for a script without one."""

    @property
    def digest(self) -> str:
        """The SHA-1 by which Redis knows the script."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def lists(self, name: str, keys: Mapping[str, str], arguments: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
        """``KEYS`` and ``ARGV`` of a call.

        Raises:
            TypeError: A key or an argument is missing or unknown; the message names it.
        """
        try:
            names, values = [keys[one] for one in self.keys], [arguments[one] for one in self.arguments]
            rest = arguments[self.rest] if self.rest else ()
        except KeyError:
            raise self._wrong(name, keys, arguments) from None
        if len(keys) > len(names) or len(arguments) > len(values) + bool(self.rest):
            raise self._wrong(name, keys, arguments)
        values += rest
        return names, values

    def _wrong(self, name: str, keys: Mapping[str, str], arguments: Mapping[str, Any]) -> TypeError:
        named = (*self.arguments, self.rest) if self.rest else self.arguments
        return TypeError(f"{name}.lua {_difference(self.keys, keys, 'key') or _difference(named, arguments)}")


class Scripts:
    """Runs the scripts of one package. Redis keeps a script that it was sent; a Redis that lacks it is sent it again.

    Args:
        client: Whose ``register_script`` sends them.
        package: The one whose folder ``lua/`` they lie in.
    """

    def __init__(self, client: redis.Redis, package: str) -> None:
        self._redis = client
        self._package = package
        self._known: dict[str, Callable[..., Any]] = {}

    def __call__(self, name: str, keys: Mapping[str, str], /, **arguments: Any) -> Any:
        """The answer of ``lua/<name>.lua``.

        Raises:
            TypeError: A key or an argument is missing or unknown; the message names it.
        """
        script = read(self._package, name)
        names, values = script.lists(name, keys, arguments)
        if name not in self._known:
            self._known[name] = self._redis.register_script(script.text)
        return self._known[name](keys=names, args=values)

    def takes(self, name: str) -> Script:
        """Return a script with the names of its keys and arguments."""
        return read(self._package, name)

    def load(self) -> dict[str, str]:
        """Send all scripts of the package to Redis, in one round trip; gives name -> digest, by name.

        The digests depend on the files alone, so each process of one version gives the same.
        """
        found = every(self._package)
        with self._redis.pipeline(transaction=False) as pipe:
            for script in found.values():
                pipe.script_load(script.text)
            pipe.execute()
        return {name: script.digest for name, script in found.items()}


def every(package: str) -> dict[str, Script]:
    """All scripts of a package, by name."""
    there = (file.name for file in (files(package) / "lua").iterdir() if file.name.endswith(".lua"))
    found = sorted(name.removesuffix(".lua") for name in there)
    return {name: read(package, name) for name in found if name != PRELUDE}


@functools.cache
def read(package: str, name: str) -> Script:
    """A script with its prelude, and with the tables ``K`` and ``A`` of what it takes."""
    folder = files(package) / "lua"
    body = (folder / f"{name}.lua").read_text(encoding="utf-8")
    prelude = folder / f"{PRELUDE}.lua"
    shared = ""
    if prelude.is_file():
        shared = IN_LUA + prelude.read_text(encoding="utf-8")
    keys, arguments = _named(body, "KEYS"), _named(body, "ARGV")
    rest = arguments.pop().removesuffix(REST) if arguments and arguments[-1].endswith(REST) else ""
    head = f"{_table('K', 'KEYS', keys)}{_table('A', 'ARGV', arguments)}local FIRST = {len(arguments) + 1}\n"
    return Script(shared + head + body, tuple(keys), tuple(arguments), rest)


def _named(body: str, kind: str) -> list[str]:
    found = re.search(rf"^-- {kind}:(.*)$", body, re.MULTILINE)
    return found[1].split() if found else []


def _table(name: str, given: str, names: Iterable[str]) -> str:
    fields = ", ".join(f"{one} = {given}[{at}]" for at, one in enumerate(names, 1))
    return f"local {name} = {{{fields}}}\n"


def _difference(wanted: Iterable[str], given: Iterable[str], kind: str = "argument") -> str:
    missing, unknown = sorted({*wanted} - {*given}), sorted({*given} - {*wanted})
    said = [f"lacks the {kind} {', '.join(missing)}"] * bool(missing)
    said += [f"takes no {kind} {', '.join(unknown)}"] * bool(unknown)
    return " and ".join(said)
