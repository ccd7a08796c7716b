"""``cluster token``: new, list, revoke."""

from __future__ import annotations

from datetime import datetime

import click

from cluster import client, logs
from cluster.cli import kept_cluster, print_text, say, shared
from cluster.roles import Role


@click.group(
    "token",
    epilog="\b\nExamples:\n  export TOKEN=$(cluster token new till)\n  cluster token list\n  cluster token revoke till",
)
def command() -> None:
    """Manage the tokens with which programs may ask services, and use the page's API.

    A program sends its token with each request (Authorization: Bearer TOKEN). The cluster keeps a digest of it alone,
    so a token is shown once, when it is made.
    """


@command.command("new", epilog="\b\nExamples:\n  export TOKEN=$(cluster token new till)\n"
                 "  cluster token new screen --role viewer --days 90")  # fmt: skip
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.word for role in Role]), default=Role.SUBMITTER.word, show_default=True,
    help="What it may do on the page. Services are asked by submitters and higher.",
)  # fmt: skip
@click.option("--days", type=int, help="It expires after so many days; by default never.")
@shared.broker
@shared.as_json
def new(name: str, role: str, days: int | None, broker: str | None, as_json: bool) -> None:
    """Make a token and print it. NAME says whose it is, to revoke it some day."""
    with client.existing(broker) as c:
        secret = c.tokens.new(name, Role.of(role), days)
    if as_json:
        shared.print_json({"name": name, "token": secret, "role": role, "days": days})
        return
    print_text(secret)
    say(f"this is the token {name}. It is not shown again; `cluster token revoke {name}` ends it")


@command.command("list", epilog="\b\nExample:\n  cluster token list --json")
@shared.broker
@shared.as_json
def list_all(broker: str | None, as_json: bool) -> None:
    """List all tokens: name, role, when made, used last, and expiring."""
    with client.existing(broker) as c:
        found = c.tokens.list()
    if as_json:
        shared.print_json([{**token._asdict(), "role": token.role.word} for token in found])
        return
    for token in found:
        used = f"used {_at(token.used_at)}" if token.used_at else "never used"
        ends = f", until {_at(token.expires_at)}" if token.expires_at else ""
        print_text(f"{logs.plain(token.name):24} {token.role.word:10} {_at(token.created_at)}  {used}{ends}")
    if not found:
        say("no tokens yet (`cluster token new NAME` makes one)")


def _at(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


@command.command("revoke", epilog="\b\nExample:\n  cluster token revoke till")
@click.argument("name")
@shared.broker
def revoke(name: str, broker: str | None) -> None:
    """End a token. Gateways refuse it within a second."""
    with kept_cluster.acting(broker) as c:
        c.tokens.revoke(name)
    print_text(f"revoked {name}")
