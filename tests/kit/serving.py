"""Services for tests: `cluster serve` as a program, requests to it, and load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from tests.kit.programs import NONE, Program, start_cluster
from tests.kit.waiting import line_with

READY_S = 60.0
HEADER_END = b"\r\n\r\n"


class Gateway(NamedTuple):
    """A `cluster serve` that answers."""

    program: Program
    url: str
    service: str
    token: str

    def ask(self, body: bytes, service: str = "", *, kind: str = "application/octet-stream", **headers: str) -> Any:
        """Ask a service for one item; gives the response."""
        return self.request("POST", f"/v1/models/{service or self.service}/predict", kind=kind, body=body, **headers)

    def request(
        self, method: str, path: str, *, body: bytes | None = None, kind: str = "", token: str | None = None,
        **headers: str,
    ) -> httpx.Response:  # fmt: skip
        """Send a request, with this gateway's token unless another one is given ("" for none)."""
        token = self.token if token is None else token
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind:
            sent["Content-Type"] = kind
        if token:
            sent["Authorization"] = f"Bearer {token}"
        return httpx.request(method, self.url + path, content=body, headers=sent, timeout=30)


@contextmanager
def served(*arguments: str | Path, settings: Mapping[str, str] = NONE, token: str = "") -> Iterator[Gateway]:
    """Run `cluster serve` on a free port until the ``with`` ends; it is ready by then.

    Args:
        arguments: For the command.
        settings: For it and what it starts.
        token: Of the cluster; the one that the command makes, if it makes one.
    """
    with start_cluster("serve", *arguments, "--port", "0", "--json", settings=settings) as program:
        assert program.stdout is not None
        try:
            told = json.loads(line_with("{", program.stdout, READY_S))
        except AssertionError as error:
            program.terminate()
            raise AssertionError(f"{error}; stderr: {program.communicate()[1]}") from None
        errors = threading.Thread(target=_drain, args=(program,), daemon=True)
        errors.start()
        try:
            yield Gateway(program, told["url"], told["service"], told["token"] or token)
        finally:
            program.terminate()
            program.wait(30)


def _drain(program: Program) -> None:
    assert program.stderr is not None
    with contextlib.suppress(ValueError):  # it is closed
        for _ in program.stderr:
            continue


class Answered(NamedTuple):
    """A request that was sent under load."""

    at_s: float
    """When it was sent, of ``time.monotonic``."""
    took_s: float
    status: int
    """0 where the connection broke."""
    body: bytes
    headers: bytes


class Load:
    """So many clients that ask one after another, each on a connection of its own, in a thread of this process.

    Use it in a ``with``: it begins with that, and ends with ``end``, or with the ``with``.
    """

    def __init__(
        self, url: str, path: str, token: str, body: bytes | Callable[[int], bytes], clients: int, *,
        kind: str = "application/octet-stream", pause_s: float = 0.0, most: int | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._path, self._token, self._body, self._kind = path, token, body, kind
        self._clients, self._pause_s, self._most = clients, pause_s, most
        self._sent = 0
        self._ending = False
        self.answers: list[Answered] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> list[Answered]:
        """Send no more, wait for the answers to what was sent, and give them all."""
        self._ending = True
        self._thread.join(60)
        assert not self._thread.is_alive(), "a request was not answered"
        return self.answers

    def join(self, timeout_s: float) -> list[Answered]:
        """Wait until ``most`` requests are answered."""
        self._thread.join(timeout_s)
        return self.end()

    @property
    def codes(self) -> Counter[int]:
        """How many answers there were of each status."""
        return Counter(one.status for one in self.answers)

    async def _run(self) -> None:
        await asyncio.gather(*(self._ask_on() for _ in range(self._clients)))

    async def _ask_on(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._ending and (self._most is None or self._sent < self._most):
            self._sent += 1
            begun = time.monotonic()
            body = self._body(self._sent) if callable(self._body) else self._body
            try:
                if connection is None:
                    connection = await asyncio.open_connection(self._host, self._port)
                status, headers, answer = await self._exchange(*connection, body)
            except (OSError, asyncio.IncompleteReadError):
                status, headers, answer, connection = 0, b"", b"", None
            self.answers.append(Answered(begun, time.monotonic() - begun, status, answer, headers))
            if connection is not None and b"connection: close" in headers.lower():
                connection[1].close()
                connection = None
            if self._pause_s or status == 0:
                await asyncio.sleep(self._pause_s or 0.01)
        if connection is not None:
            connection[1].close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> tuple[int, bytes, bytes]:
        writer.write(
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: {self._kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        headers = await reader.readuntil(HEADER_END)
        size = next(
            int(line.partition(b":")[2])
            for line in headers.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return int(headers[9:12]), headers, await reader.readexactly(size)


def ok(answers: Sequence[Answered]) -> list[Any]:
    """The JSON of the answers that are none of an error."""
    return [json.loads(one.body) for one in answers if one.status == 200]
