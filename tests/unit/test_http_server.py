"""A server in a thread: what happens to it when something beside it fails, or it does not start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster import errors, http_server
from cluster.http_server import HttpServer
from tests.kit.waiting import wait_until


class Server:
    """uvicorn's, as far as it is used: it runs until it is told to end."""

    def __init__(self, *, starts: bool = True) -> None:
        self.started, self.should_exit = starts, False

    async def serve(self, sockets: list[Any]) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.001)


class Running(HttpServer):
    WHAT, DRAIN_S = "page", 1

    def __init__(self, server: Server, beside: Exception | None = None) -> None:
        super().__init__("127.0.0.1", 0, None, None)
        self.given, self.beside = server, beside

    async def _serve(self) -> None:
        await self._until_it_ends(self.given, self._look())

    async def _look(self) -> None:
        while self.beside is None or not self._started.is_set():
            await asyncio.sleep(0.001)
        raise self.beside

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()


def test_an_error_beside_a_server_ends_it_and_is_told() -> None:
    with Running(Server(), OSError("no more sockets")) as running:
        wait_until("it ends", lambda: not running.is_alive)
        with pytest.raises(errors.ClusterError, match="the page ended: no more sockets"):
            running.check()


def test_a_server_that_does_not_start_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "START_S", 0.05)
    running = Running(Server(starts=False))
    with pytest.raises(errors.ClusterError, match="did not start in time"):
        running.__enter__()
    assert not running.is_alive
