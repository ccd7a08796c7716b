"""``cluster web link`` and ``cluster web user``: who may use the page."""

from __future__ import annotations

import getpass
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import click

from cluster import client, errors, logs, settings
from cluster.cli import print_text, say, shared
from cluster.client import Client, own_cluster
from cluster.roles import Role

ROLE = click.Choice([role.word for role in Role])


class Named(NamedTuple):
    """What `cluster web` was told, for the commands below it."""

    broker: str | None
    data: Path | None


def os_user() -> str:
    """The person at this machine, as a user of the page is called."""
    found = ""
    with suppress(OSError, KeyError):  # a process without a user's name
        found = re.sub(r"[^a-z0-9._-]", "-", getpass.getuser().lower()).lstrip("._-")[:64]
    return found or "admin"


def first(c: Client) -> str:
    """The person at this machine, who is made an admin unless there is a user of that name."""
    name = os_user()
    if c.accounts.user(name) is None:
        c.accounts.add(name, Role.ADMIN)
    return name


def link_to(c: Client, url: str, user: str) -> str:
    """A link by which a user enters the page at ``url``, once. The secret stands where browsers send it to nobody."""
    return f"{url}/enter#{c.accounts.link(user)}"


@click.command("link", epilog="\b\nExamples:\n  cluster web link\n  cluster web link maria")
@click.argument("user", required=False)
@shared.broker
@shared.as_json
@click.pass_obj
def link(named: Named, user: str | None, broker: str | None, as_json: bool) -> None:
    """Print a link with which USER enters the page, once, within 10 minutes; without USER, yourself."""
    with client_of(named, broker) as c:
        _tell_link(c, user or first(c), as_json=as_json)


@click.group("user", epilog="\b\nExamples:\n  cluster web user add maria --role submitter\n  cluster web user list")
def user() -> None:
    """Manage the users of the page."""


@user.command("add", epilog="\b\nExample:\n  cluster web user add maria --role submitter")
@click.argument("name")
@click.option("--role", type=ROLE, default=Role.SUBMITTER.word, show_default=True, help="What they may do.")
@shared.broker
@shared.as_json
@click.pass_obj
def add(named: Named, name: str, role: str, broker: str | None, as_json: bool) -> None:
    """Enter a user, and print a link for them."""
    with client_of(named, broker) as c:
        c.accounts.add(name, Role.of(role))
        if c.accounts.page() is None:
            say(f"{name} is entered; once `cluster web` runs, `cluster web link {name}` prints a link")
        else:
            _tell_link(c, name, as_json=as_json)


@user.command("list", epilog="\b\nExample:\n  cluster web user list --json")
@shared.broker
@shared.as_json
@click.pass_obj
def list_all(named: Named, broker: str | None, as_json: bool) -> None:
    """List the users with their roles."""
    with client_of(named, broker) as c:
        found = c.accounts.users()
    if as_json:
        shared.print_json([{"name": one.name, "role": one.role, "created_at": one.created_at} for one in found])
        return
    for one in found:
        print_text(f"{logs.plain(one.name):24} {one.role:10} since {one.created_at.astimezone():%Y-%m-%d}")
    if not found:
        say("no users yet (`cluster web user add NAME` enters one)")


@user.command("role", epilog="\b\nExample:\n  cluster web user role maria operator")
@click.argument("name")
@click.argument("role", type=ROLE)
@shared.broker
@click.pass_obj
def role(named: Named, name: str, role: str, broker: str | None) -> None:
    """Give a user another role, from now on."""
    with client_of(named, broker) as c:
        c.accounts.set_role(name, Role.of(role))
    print_text(f"{name} is {role} from now on")


@user.command("remove", epilog="\b\nExample:\n  cluster web user remove maria")
@click.argument("name")
@shared.broker
@click.pass_obj
def remove(named: Named, name: str, broker: str | None) -> None:
    """Remove a user: the browsers in which they entered are refused from now on. Their runs stay."""
    with client_of(named, broker) as c:
        c.accounts.remove(name)
    print_text(f"removed {name}")


def client_of(named: Named, broker: str | None) -> Client:
    """The cluster that is named, else the one that a `cluster web` of this machine has started."""
    broker = broker or named.broker
    config = settings.load(broker_url=broker)
    if config.broker_url is None and named.data is not None:
        broker = own_cluster.running(config, named.data)
        if broker is None:
            raise errors.BrokerError(f"no `cluster web` works on --data {named.data}: start it")
    return client.existing(broker)


def page_of(c: Client) -> str:
    """The address of the page of a cluster.

    Raises:
        errors.UsageError: None runs.
    """
    url = c.accounts.page()
    if url is None:
        raise errors.UsageError("no page of this cluster runs: start `cluster web`, then ask for a link")
    return url


def _tell_link(c: Client, user: str, *, as_json: bool) -> None:
    found = link_to(c, page_of(c), user)
    if as_json:
        shared.print_json({"user": user, "link": found, "expires_in_s": c.accounts.link_s})
        return
    print_text(found)
    say(f"This link lets {user} in once, within 10 minutes.")
