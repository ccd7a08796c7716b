"""``cluster web``."""

from __future__ import annotations

import shlex
import socket
import sys
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import redis

from cluster import addresses, client, errors, settings
from cluster.cli import print_text, say, shared, stay, web_run_links, web_users
from cluster.client import Client, own_cluster
from cluster.client.own_cluster import Listening, OwnCluster
from cluster.embedded import LOOPBACK
from cluster.web import certificate, folder

HOW_TO_INSTALL = "pip install 'cluster[page]'"
TELL_S = 20.0
"""The page says so often where it is."""
LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class At:
    """Where the page listens, and how browsers address it."""

    host: str
    port: int
    names: tuple[str, ...]
    """More names by which browsers may address it."""
    cert: Path | None
    key: Path | None
    tls: str | None
    outside: str | None
    """The address of the proxy before it."""
    proxy: str

    @property
    def is_tls(self) -> bool:
        """Whether browsers reach it by HTTPS."""
        return self.outside.startswith("https:") if self.outside else bool(self.cert or self.tls)

    @property
    def shown(self) -> str:
        """The name or address in the link that is printed."""
        return addresses.reachable(self.host)

    @property
    def hosts(self) -> frozenset[str]:
        """All names by which browsers may address it: others are refused."""
        here = (socket.gethostname(), self.shown) if self.host in addresses.ALL else (self.host,)
        outside = (urlsplit(self.outside).hostname or "",) if self.outside else ()
        own = ("localhost", "127.0.0.1", "::1", *here, *self.names, *outside)
        return frozenset(name.lower() for name in own if name)

    def url(self, port: int) -> str:
        """The page's address."""
        if self.outside:
            return self.outside.rstrip("/")
        shown = f"[{self.shown}]" if ":" in self.shown else self.shown
        return f"{'https' if self.is_tls else 'http'}://{shown}:{port}"


def _read_outside(context: click.Context, _: click.Parameter, url: str | None) -> str | None:
    found = urlsplit(url or "")
    if url is not None and (found.scheme not in ("http", "https") or not found.hostname or found.path.strip("/")):
        raise click.BadParameter(f"{url!r} is not of the form https://NAME[:PORT]", context)
    return url


@click.group(
    "web",
    invoke_without_command=True,
    epilog="\b\nExamples:\n"
    "  cluster web                                  # on this machine, which does the work, too\n"
    "  CLUSTER_BROKER_URL=redis://… cluster web     # of a cluster that runs\n"
    "  cluster web --host 0.0.0.0 --tls self        # for other machines: their browsers, and to join\n"
    "  cluster web --behind-proxy https://scans.example.org\n"
    "  cluster web user add maria --role submitter  # prints a link for maria",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8440, show_default=True, help="0: any free one.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Browsers may address the page by this name, too.")
@click.option("--cert", type=shared.PATH, metavar="FILE", help="Certificate for HTTPS, in PEM form.")
@click.option("--key", type=shared.PATH, metavar="FILE", help="Its key, where it is in another file.")
@click.option("--tls", type=click.Choice(["self"]), help="HTTPS with a certificate that this machine signs itself.")
@click.option(
    "--behind-proxy", "outside", metavar="URL", callback=_read_outside,
    help="A proxy is before it, which browsers reach at this address.",
)  # fmt: skip
@click.option(
    "--proxy-address", "proxy", default=LOOPBACK, show_default=True, metavar="IP",
    help="The proxy's: what it says of who asks is believed.",
)  # fmt: skip
@click.option("--data", type=shared.PATH, metavar="DIR", help="Keep cluster and uploads here, not in CLUSTER_DATA_DIR.")
@click.option("--no-worker", is_flag=True, help="Without a broker: this machine takes no work itself.")
@click.option("--open/--no-open", "opens", default=True, help="Open the link in a browser of this machine.")
@shared.broker
@shared.as_json
@click.pass_context
def command(
    context: click.Context, host: str, port: int, names: tuple[str, ...], cert: Path | None, key: Path | None,
    tls: str | None, outside: str | None, proxy: str, data: Path | None, no_worker: bool, opens: bool,
    broker: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show a page to use the cluster from, in a browser, until Ctrl-C.

    It prints a link with which one enters, once, within 10 minutes. Without a broker it starts a cluster on this
    machine, with a worker, which keeps its runs: the next `cluster web` has them again. With --host that cluster
    listens there, too: other machines can join it, by its password.
    """
    data = data.expanduser() if data else None
    context.obj = web_users.Named(broker, data)
    if context.invoked_subcommand is not None:
        return
    if tls and cert:
        raise click.UsageError("--tls self and --cert both say which certificate to take: leave one out")
    if key and not cert:
        raise click.UsageError("--key is of a certificate: give --cert, too")
    _require_installed()
    at = At(host, port, names, cert, key, tls, outside, proxy)
    stay.listen_to_signals()
    try:
        with ExitStack() as held:
            _serve(held, at, data, broker, worker=not no_worker, opens=opens, as_json=as_json)
    except KeyboardInterrupt:
        say("ending the page")


command.add_command(web_users.link)
command.add_command(web_users.user)
command.add_command(web_run_links.group)


def _serve(
    held: ExitStack, at: At, data: Path | None, broker: str | None, *, worker: bool, opens: bool, as_json: bool
) -> None:  # fmt: skip
    from cluster.web.context import Web
    from cluster.web.server import Running

    config = settings.load(broker_url=broker)
    own: OwnCluster | None = None
    listening = Listening(LOOPBACK)
    if config.broker_url is None:
        place = data or own_cluster.folder(config)
        listening = own_cluster.beside(at.host)
        own = held.enter_context(OwnCluster(listening.host, data=place, worker=worker))
        c, page_folder = own.client, place / folder.NAME
    else:
        c, page_folder = held.enter_context(client.existing(broker)), folder.of_cluster(config, data)
    held.enter_context(folder.opened(page_folder))
    made = certificate.own(page_folder, at.hosts) if at.tls else None
    cert, key = (made.cert, made.key) if made else (at.cert, at.key)
    web = Web(c, c.accounts, page_folder, at.hosts, is_tls=at.is_tls)
    proxy = at.proxy if at.outside else None
    running = held.enter_context(Running(web, at.host, at.port, cert, key, proxy))
    url = at.url(running.port)
    link = web_users.link_to(c, url, web_users.first(c))
    _tell(at, url, link, made, c, own, listening, as_json=as_json)
    if opens and sys.stdout.isatty():
        _open(held, page_folder, link)
    if own is not None:
        held.enter_context(own.master())
        stay.until_ended(own, _again(at, data), _look(running.check, c, url))
    else:
        _until_ended(_look(running.check, c, url))


def _again(at: At, data: Path | None) -> str:
    host = [] if at.host == LOOPBACK else ["--host", at.host]
    return shlex.join(["cluster", "web", *host, *(["--data", str(data)] if data else [])])


def _open(held: ExitStack, folder: Path, link: str) -> None:
    """Open the link by a file that only its user can read: any user of this machine sees a program's arguments."""
    file = folder / "enter.html"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    held.callback(file.unlink, missing_ok=True)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={link}"><title>cluster</title>')
    webbrowser.open(file.as_uri())


def _tell(
    at: At, url: str, link: str, made: certificate.Certificate | None, c: Client, own: OwnCluster | None,
    listening: Listening, *, as_json: bool,
) -> None:  # fmt: skip
    if as_json:
        shared.print_json_line({
            "url": url, "link": link, "user": web_users.os_user(), "expires_in_s": c.accounts.link_s,
            "fingerprint": made.fingerprint if made else None,
            "broker": own.url_at(addresses.reachable(listening.host)) if own else None,
        })  # fmt: skip
        return
    print_text(link)
    sys.stdout.flush()
    say(
        f"\nThis link lets {web_users.os_user()} in once, within 10 minutes. For another one: cluster web link;"
        " for others: cluster web user add NAME\nCtrl-C ends the page."
    )
    if made:
        say(f"Browsers warn of a certificate that nobody they know signed. Compare its SHA-256:\n  {made.fingerprint}")
    elif not at.is_tls and at.shown not in (LOOPBACK, "localhost", "::1"):
        say(f"Others reach {at.shown} without HTTPS, and can read what is sent on the way: give --tls self, or --cert")
    if own is not None:
        _tell_own(own, url, listening)


def _tell_own(own: OwnCluster, url: str, listening: Listening) -> None:
    say(
        "The page has a cluster of its own on this machine. For the command line:\n"
        f"  export CLUSTER_BROKER_URL={own.url_at(addresses.reachable(listening.host))}"
    )
    if listening.problem:
        say(f"Other machines cannot join it: {listening.problem}")
    elif listening.host != LOOPBACK:
        say(f"Other machines join it as {url}/nodes/join shows; a firewall must let them reach port {own.port}")


def _look(check: Callable[[], None], c: Client, url: str) -> Callable[[], None]:
    """What to do now and then: see that the page runs, and say where it is."""
    told_s = -TELL_S

    def look() -> None:
        nonlocal told_s
        check()
        if time.monotonic() - told_s >= TELL_S:
            told_s = time.monotonic()
            with suppress(redis.RedisError):
                c.accounts.tell_page(url)

    return look


def _until_ended(look: Callable[[], None]) -> None:
    while True:
        look()
        time.sleep(stay.LOOK_S)


def _require_installed() -> None:
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise errors.NotInstalled(f"the page needs {error.name}, which is not installed: {HOW_TO_INSTALL}") from None
