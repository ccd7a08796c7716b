"""``cluster serve``."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import click
import redis

from cluster import client, errors, logs
from cluster.cli import foreground, kept_cluster, print_text, say, shared
from cluster.cli.job_command import JobCommand
from cluster.client import Client
from cluster.client.gateway import require_installed
from cluster.client.nodes import join_line
from cluster.client.serve import News, Service
from cluster.job import Job
from cluster.option import Option
from cluster.texts import service_texts

CHECK_S = 0.5
FIRST = "first"
"""The name of the token that the first `cluster serve` of a cluster makes."""


class ServeCommand(JobCommand):
    """Has the options of the job that ``--job`` names which matter for a single item."""

    def jobs(self) -> list[Job]:
        """Those that answer single items."""
        return [job for job in super().jobs() if job.serves]

    def options_of(self, job: Job) -> list[Option]:
        """All but the model, which is the argument, and the size of chunks."""
        return [option for option in job.options if option.name != "model"]

    def about(self, job: Job) -> list[str]:
        """What it does."""
        return super().about(job)[:1]

    def example(self, job: Job) -> str:
        """A command with the job, to paste."""
        return f"cluster serve {'NAME ' if job.bundles else ''}--job {job.name}"


@click.command(
    "serve",
    cls=ServeCommand,
    epilog="\b\nExamples:\n"
    "  cluster serve office --job faces --replicas 2\n"
    "  cluster serve --job ocr --lang deu --port 8000\n"
    "  cluster serve office --canary office:4=10%\n"
    "  cluster serve letters --host 0.0.0.0 --cert cert.pem --key key.pem\n\n"
    "Exit codes: 0 stopped by Ctrl-C, 2 wrong use, 4 no Redis, 6 no machine can do the job or an extra is missing,"
    " 1 anything else.",
)
@click.argument("model", required=False)
@click.option("-j", "--job", "job_name", metavar="NAME", help="The job; by default the one that the model is for.")
@click.option("--name", help="The service's name; by default that of the model, else of the job.")
@click.option("--replicas", type=int, metavar="N", help="How many processes answer.  [default: 1]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free one.")
@click.option("--max-waiting", type=int, metavar="N", help="Refuse requests when so many wait.  [default: 512]")
@click.option("--deadline", type=float, metavar="SECONDS", help="How long a request may take.  [default: 10]")
@click.option(
    "--canary", multiple=True, metavar="NAME:VERSION=SHARE%", help="A share of requests for a version; none ends it."
)
@click.option("--shadow", metavar="NAME:VERSION", help="Compare the answers of this version; none ends it.")
@click.option("--cert", type=shared.PATH, metavar="FILE", help="Certificate for HTTPS, in PEM form.")
@click.option("--key", type=shared.PATH, metavar="FILE", help="Its key, in PEM form.")
@shared.broker
@shared.as_json
def command(
    model: str | None, job_name: str | None, name: str | None, replicas: int | None, host: str, port: int,
    max_waiting: int | None, deadline: float | None, canary: tuple[str, ...], shadow: str | None, cert: Path | None,
    key: Path | None, broker: str | None, as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Answer HTTP requests by a job, on this machine and on the nodes.

    Enters a service, which replicas on the nodes answer, and runs a gateway for all services of the cluster until
    Ctrl-C. Without MODEL and --job it runs the gateway alone. Without a broker, a private cluster is started on this
    machine; with one, the service stays when the gateway ends.
    """
    require_installed()
    if cert is None and not service_texts.is_of_this_machine(host):
        say(f"others can reach {host} without HTTPS, and read tokens on the way: give --cert and --key")
    c = client.connect(broker)
    entry = None
    if model or job_name:
        entry = c.entry(
            model, job=job_name, name=name, replicas=replicas, max_waiting=max_waiting, deadline_s=deadline,
            canary=canary or None, shadow=shadow,
            options={option: value for option, value in given.items() if value is not None},
        )  # fmt: skip
    elif c.is_private:
        raise errors.UsageError("name what to serve: a MODEL, --job NAME, or both")
    try:
        with foreground.terminable(), c, c.gateway(host, port, cert=cert, key=key) as running:
            service = entry.enter() if entry else None
            try:
                _tell(c, service, cert, as_json=as_json)
                while True:
                    running.check()
                    if c.is_private:
                        c.session.check(0)
                    time.sleep(CHECK_S)
            finally:
                _tell_of_the_end(c, service)
    except (KeyboardInterrupt, SystemExit):
        return 0


def _tell(c: Client, service: Service | None, cert: Path | None, *, as_json: bool) -> None:
    """Wait for the first replica, then print the address, a token if there was none, and what to paste."""
    told = ""

    def tell(news: News) -> None:
        nonlocal told
        line = service_texts.news(news)
        if not (news.able or news.pending or c.is_private):
            line += f"\nwaiting for one. On a machine that should help: {join_line(c.config)}"
        if line != told:
            say(line)
            told = line

    if c.is_private and sys.stderr.isatty():
        kept_cluster.tell_private(c.config)
    token = _first_token(c)  # the gateway knows it by the time that a replica is ready
    try:
        if service:
            service.wait_until_ready(on_wait=tell)
    except BaseException:
        if token:
            with contextlib.suppress(redis.RedisError, errors.ClusterError):
                c.tokens.revoke(FIRST)  # nobody saw it
        raise
    if as_json:
        shared.print_json_line({"url": c.gateway_url, "service": service.name if service else None, "token": token})
        return
    if token:
        print_text(f"export TOKEN={token}")
    print_text(f"ready at {c.gateway_url}")
    if service:
        print_text(f"  {service_texts.curl(str(c.gateway_url), service.name, service.example(), cert)}")
    sys.stdout.flush()
    if not token:
        say("each request needs a token ($TOKEN); to make another one: cluster token new NAME")
    say("Ctrl-C ends it.")


def _first_token(c: Client) -> str | None:
    """The secret of a token that is made if there is none yet."""
    if c.tokens.list():
        return None
    try:
        return c.tokens.new(FIRST)
    except errors.UsageError:  # another `cluster serve` made it just now
        return None


def _tell_of_the_end(c: Client, service: Service | None) -> None:
    if c.is_private:
        say("ending the gateway and the service")
    elif service:
        say(f"ending the gateway; the service {logs.plain(service.name)} stays: cluster services stop {service.name}")
    else:
        say("ending the gateway; the services stay")
