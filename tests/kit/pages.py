"""Somebody who uses the page, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from cluster.client import Client
from cluster.roles import Role
from cluster.web.context import Web
from cluster.web.server import Running

LOOPBACK = "127.0.0.1"


class Page(NamedTuple):
    """A page that runs in this process."""

    web: Web
    url: str
    opened: ExitStack
    """Closes what has asked."""

    def visitor(self, role: Role, name: str = "") -> Visitor:
        """A user with that role, made where there is none of that name, who has entered by a link."""
        name = name or role.word
        if self.web.accounts.user(name) is None:
            self.web.accounts.add(name, role)
        visitor = Visitor(self.nobody(), name)
        answer = visitor.asker.post("/enter", json={"secret": self.web.accounts.link(name)})
        assert answer.status_code == 204, answer.text
        return visitor

    def nobody(self) -> httpx.Client:
        """What asks as a browser does from our own pages, without having entered."""
        asker = httpx.Client(base_url=self.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=20)
        return self.opened.enter_context(asker)


class Visitor(NamedTuple):
    """A user who has entered."""

    asker: httpx.Client
    name: str

    def get(self, path: str, **more: Any) -> Any:
        """The data of a page."""
        answer = self.asker.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def html(self, path: str) -> str:
        """A page as people see it."""
        answer = self.asker.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        return answer.text

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Anything, whatever the answer."""
        return self.asker.request(method, path, **more)


@contextmanager
def shown(client: Client, folder: Path) -> Iterator[Page]:
    """A page of a cluster, by a real server."""
    folder.mkdir(mode=0o700, exist_ok=True)
    web = Web(client, client.accounts, folder, frozenset({LOOPBACK}))
    with Running(web, LOOPBACK, 0) as running, ExitStack() as opened:
        yield Page(web, f"http://{LOOPBACK}:{running.port}", opened)
