"""Clients of an HTTP server that ask again as soon as they have an answer: ``python -m tests.benchmarks.serving.load``.

It sends the same bytes on each connection and reads of an answer its status, its length and nothing else, so that a
process of it asks faster than any server here answers. Prints ``Load`` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Load(NamedTuple):
    """What a load met."""

    seconds: float
    codes: dict[str, int]
    """Status -> answers."""
    broken: int
    """Connections that the server closed."""
    times_ms: dict[str, list[float]]
    """Status -> p50, p95, p99 and the longest time of its answers."""

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return self.codes.get("200", 0) / self.seconds


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, took: dict[int, list[float]]) -> None:
        self._request = request
        self._took = took
        self._said = b""
        self._asked_s = 0.0
        self.ended = False
        self.is_broken = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked_s = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, end, body = self._said.partition(HEAD_END)
        if not end:
            return
        at = head.lower().find(LENGTH)
        size = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0])
        if len(body) < size:
            return
        status = int(head[9:12])
        self._took.setdefault(status, []).append(time.perf_counter() - self._asked_s)
        self._said = b""
        if self.ended:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_broken = not self.ended


async def ask(url: str, request: bytes, clients: int, seconds: float, most: float = float("inf")) -> Load:
    """Have so many clients ask for so long, or until they have so many answers."""
    loop = asyncio.get_running_loop()
    place = urlsplit(url)
    took: dict[int, list[float]] = {}
    began = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: Client(request, took), place.hostname or "", place.port or 80))[1]
        for _ in range(clients)
    ]
    while time.perf_counter() - began < seconds and sum(map(len, took.values())) < most:
        await asyncio.sleep(0.02)
    took_s = time.perf_counter() - began
    codes = Counter({str(status): len(times) for status, times in took.items()})
    for client in made:
        client.ended = True
    times = {str(status): figures(sorted(found)) for status, found in took.items()}
    return Load(took_s, dict(codes), sum(client.is_broken for client in made), times)


def figures(times: list[float]) -> list[float]:
    """p50, p95, p99 and the longest, in milliseconds."""
    return [round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2) for share in (0.5, 0.95, 0.99, 1)]


def request(url: str, token: str, body: bytes) -> bytes:
    """The bytes that ask for JSON."""
    place = urlsplit(url)
    head = f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
    allowed = f"authorization: Bearer {token}\r\n" if token else ""
    return f"{head}{allowed}content-length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """``load URL TOKEN BODY CLIENTS SECONDS [MOST]``."""
    url, token, body, clients, seconds, *most = sys.argv[1:]
    sent = request(url, token, Path(body).read_bytes())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(ask(url, sent, int(clients), float(seconds), *map(float, most)))
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    main()
