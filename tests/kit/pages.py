"""Somebody who uses the page, without a browser."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from cluster.client import Client
from cluster.roles import Role
from cluster.settings import Settings
from cluster.web.context import Web
from cluster.web.server import Running
from tests.kit.programs import Program, environment, program

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 60
"""For an answer: on a busy machine a training that takes a second has taken over 20."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. To load whom the machine trusts, as each new client does by default, takes 0.06 s."""
BEGUN: list[Program] = []
"""Processes that have begun to read uploads: see ``begin_reader``."""


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
        asker = httpx.Client(
            base_url=self.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=TIMEOUT_S, verify=NO_TLS,
            trust_env=False,
        )  # fmt: skip
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
    """A page of a cluster, by a real server. Who still reads its uploads in the end is killed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    web = Web(client, client.accounts, folder, frozenset({LOOPBACK}))
    try:
        with Running(web, LOOPBACK, 0) as running, ExitStack() as opened:
            yield Page(web, f"http://{LOOPBACK}:{running.port}", opened)
    finally:
        for reader in BEGUN:
            if str(folder) in str(reader.args):
                reader.kill()


def begin_reader(config: Settings, run: str, inputs: Sequence[str], log: Path, arguments: Sequence[str]) -> Program:
    """Start a process that reads the input of a run, as ``submission.spawn`` does, by a fork."""
    with log.open("ab") as stream:
        reader = program(
            [sys.executable, "-m", "cluster", "resume", run, *arguments, "--", *inputs],
            env=environment(CLUSTER_BROKER_URL=config.given_broker()),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    BEGUN.append(reader)
    threading.Thread(target=reader.wait, daemon=True).start()
    return reader
