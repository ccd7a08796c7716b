"""``cluster web run-link``: links that show one run of the page to whoever has them."""

from __future__ import annotations

from datetime import datetime

import click

from cluster import errors, logs
from cluster.cli import print_text, say, shared, web_users
from cluster.cli.web_users import Named
from cluster.client.accounts import MOST_LINK_S, RunLink

HOUR_S = 3600


@click.group(
    "run-link",
    epilog="\b\nExamples:\n  cluster web run-link new ocr-1a2b3c4d --hours 168\n"
    "  cluster web run-link list ocr-1a2b3c4d",
)
def group() -> None:
    """Manage the links that show one run of the page to whoever has them."""


@group.command("new", epilog="\b\nExample:\n  cluster web run-link new ocr-1a2b3c4d --hours 1")
@click.argument("run")
@click.option(
    "--hours", type=click.IntRange(1, MOST_LINK_S // HOUR_S), default=24, show_default=True,
    help="It ends after so many hours.",
)  # fmt: skip
@shared.broker
@shared.as_json
@click.pass_obj
def new(named: Named, run: str, hours: int, broker: str | None, as_json: bool) -> None:
    """Print a link that shows RUN and its results, and nothing else, to whoever has it."""
    with web_users.client_of(named, broker) as c:
        c.run(run).status(failures=False)  # raises errors.UnknownRun
        url, by = web_users.page_of(c), web_users.os_user()
        is_users = c.accounts.user(by) is not None
        link = f"{url}/shared#{c.accounts.run_links.new(run, by, hours * HOUR_S, is_users=is_users)}"
    if as_json:
        shared.print_json({"run": run, "link": link, "expires_in_s": hours * HOUR_S})
        return
    print_text(link)
    say(f"This shows {run} to whoever has it, for {hours} h. To end it before: cluster web run-link list {run}")


@group.command("list", epilog="\b\nExample:\n  cluster web run-link list ocr-1a2b3c4d --json")
@click.argument("run")
@shared.broker
@shared.as_json
@click.pass_obj
def list_all(named: Named, run: str, broker: str | None, as_json: bool) -> None:
    """List the links to RUN that have not ended. Their ids open nothing."""
    with web_users.client_of(named, broker) as c:
        c.run(run).status(failures=False)  # raises errors.UnknownRun
        found = c.accounts.run_links.of_run(run)
    if as_json:
        shared.print_json([_row(one) for one in found])
        return
    for one in found:
        print_text(f"{one.id}  {logs.plain(one.by):24} {_at(one.began_at)}, until {_at(one.until)}")
    if not found:
        say(f"no link shows {run} now (`cluster web run-link new {run}` makes one)")


@group.command("end", epilog="\b\nExample:\n  cluster web run-link end ocr-1a2b3c4d 0123456789abcdef")
@click.argument("run")
@click.argument("link")
@shared.broker
@click.pass_obj
def end(named: Named, run: str, link: str, broker: str | None) -> None:
    """End the link to RUN that has the id LINK: it shows nothing from the next request on."""
    with web_users.client_of(named, broker) as c:
        c.run(run).status(failures=False)  # raises errors.UnknownRun
        links = c.accounts.run_links
        if link not in {one.id for one in links.of_run(run)}:
            raise errors.UsageError(
                f"no link to {run} has the id {link[:100]!r}, or it has ended: `cluster web run-link list {run}`"
            )
        links.end(run, link)
    print_text(f"ended {link}")


def _row(link: RunLink) -> dict[str, object]:
    return {"id": link.id, "by": link.by, "began_at": link.began_at, "until": link.until}


def _at(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
