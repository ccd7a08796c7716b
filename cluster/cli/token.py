"""``cluster token``: new, list, revoke."""

from __future__ import annotations

import click

from cluster import client, logs
from cluster.cli import print_text, say, shared


@click.group(
    "token",
    epilog="\b\nExamples:\n  export TOKEN=$(cluster token new till)\n  cluster token list\n  cluster token revoke till",
)
def command() -> None:
    """Manage the tokens with which programs may ask services.

    A program sends its token with each request (Authorization: Bearer TOKEN). The cluster keeps a digest of it alone,
    so a token is shown once, when it is made.
    """


@command.command("new", epilog="\b\nExample:\n  export TOKEN=$(cluster token new till)")
@click.argument("name")
@shared.broker
@shared.as_json
def new(name: str, broker: str | None, as_json: bool) -> None:
    """Make a token and print it. NAME says whose it is, to revoke it some day."""
    secret = client.existing(broker).tokens.new(name)
    if as_json:
        shared.print_json({"name": name, "token": secret})
        return
    print_text(secret)
    say(f"this is the token {name}. It is not shown again; `cluster token revoke {name}` ends it")


@command.command("list", epilog="\b\nExample:\n  cluster token list --json")
@shared.broker
@shared.as_json
def list_all(broker: str | None, as_json: bool) -> None:
    """List the names of all tokens."""
    found = client.existing(broker).tokens.list()
    if as_json:
        shared.print_json([{"name": token.name, "created_at": token.created_at} for token in found])
        return
    for token in found:
        print_text(f"{logs.plain(token.name):24} {token.created_at.astimezone():%Y-%m-%d %H:%M}")
    if not found:
        say("no tokens yet (`cluster token new NAME` makes one)")


@command.command("revoke", epilog="\b\nExample:\n  cluster token revoke till")
@click.argument("name")
@shared.broker
def revoke(name: str, broker: str | None) -> None:
    """End a token. Gateways refuse it within a second."""
    client.existing(broker).tokens.revoke(name)
    print_text(f"revoked {name}")
