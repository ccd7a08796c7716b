"""``cluster web``."""

from __future__ import annotations

import getpass
import re
import sys
import time
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import click

from cluster import addresses, client, errors
from cluster.cli import foreground, print_text, say, shared
from cluster.client import Client
from cluster.embedded import LOOPBACK, LocalCluster, hub
from cluster.roles import Role

CHECK_S = 0.5
STOP_GRACE_S = 10.0
DATA = Path("~/.local/share/cluster/hub")
HOW_TO_INSTALL = "pip install 'cluster[page]'"


@click.command("web")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8440, show_default=True, help="0: any free one.")
@click.option("--data", type=shared.PATH, default=DATA, metavar="DIR", show_default=True, help="Its folder.")
@click.option("--open/--no-open", "opens", default=True, help="Open the link in a browser.")
@click.option("--cert", type=shared.PATH, metavar="FILE", help="Certificate for HTTPS, in PEM form.")
@click.option("--key", type=shared.PATH, metavar="FILE", help="Its key, in PEM form.")
@shared.broker
def command(
    host: str, port: int, data: Path, opens: bool, cert: Path | None, key: Path | None, broker: str | None
) -> int:
    """Show a page to use the cluster from, in a browser, until Ctrl-C.

    It prints a link that can be used once. Without a broker it starts a cluster on this machine that keeps its
    runs in --data.
    """
    _require_installed()
    from cluster.web.context import Web
    from cluster.web.server import Running

    data = data.expanduser()
    try:
        with foreground.terminable(), ExitStack() as held:
            c = _cluster(held, data, broker)
            folder = data / "web"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shown = addresses.reachable(host)
            hosts = frozenset({shown, host, "localhost", "127.0.0.1"})
            web = Web(c, c.accounts, folder, hosts, is_tls=cert is not None)
            running = held.enter_context(Running(web, host, port, cert, key))
            url = f"{'https' if cert else 'http'}://{shown}:{running.port}"
            link = f"{url}/enter#{c.accounts.link(_first_user(c))}"
            print_text(link)
            sys.stdout.flush()
            say("This link can be used once, within 10 minutes. Ctrl-C ends the page.")
            if opens and sys.stdout.isatty():
                webbrowser.open(link)
            while True:
                running.check()
                time.sleep(CHECK_S)
    except (KeyboardInterrupt, SystemExit):
        return 0


def _cluster(held: ExitStack, data: Path, broker: str | None) -> Client:
    """The cluster that is named, or one on this machine that is kept in ``data``."""
    try:
        return held.enter_context(client.existing(broker, patient=False))
    except errors.BrokerError:
        if broker is not None:
            raise
    kept = held.enter_context(hub.opened(data))
    local = held.enter_context(LocalCluster(LOOPBACK, 0, grace_s=STOP_GRACE_S, kept=kept))
    local.start_worker()
    c = held.enter_context(client.existing(local.url))
    held.enter_context(c.master(patient=False))
    return c


def _first_user(c: Client) -> str:
    """The user who starts the page, an admin; entered if there is none yet."""
    name = re.sub(r"[^a-z0-9._-]", "-", getpass.getuser().lower())[:64] or "admin"
    if c.accounts.user(name) is None:
        c.accounts.add(name, Role.ADMIN)
    return name


def _require_installed() -> None:
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise errors.NotInstalled(f"the page needs {error.name}, which is not installed: {HOW_TO_INSTALL}") from None
