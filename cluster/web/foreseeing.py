"""What would come of a run or a service: who could do it, and the command that does the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from cluster import catalog
from cluster.client import Client
from cluster.client.nodes import rejections
from cluster.job import Job

MOST_TOLD = 3


class Foreseen(BaseModel):
    """Who could do a run, or answer for a service, with these options."""

    told: str
    """A sentence for people."""
    able: list[str]
    """Nodes that could do it now."""
    lacking: dict[str, str]
    """Node that is online -> what it lacks."""
    command: list[str]
    """What does the same on the command line."""


def foresee(client: Client, job: str, options: Mapping[str, Any]) -> Foreseen:
    """Ask the nodes who could do a run with these options; waits some seconds for their answers at most.

    Raises:
        errors.ClusterError: As ``Client.prepare``.
    """
    with client.prepare(job, dict(options)) as submission:
        submission.look_for_nodes(lambda pending: None, to_the_end=False)
        requirement = submission.requirement
    known = catalog.get(job)
    usual = {option.name: option.default for option in (*known.options, known.chunk_size)}
    chosen = {name: value for name, value in options.items() if value != usual[name]}
    return foreseen(client, requirement, "the run begins", ["submit", "--job", job, *flags(known, chosen), "FILES"])


def foreseen(client: Client, requirement: str, what: str, words: list[str]) -> Foreseen:
    """Who could do what needs this; ``what`` comes to pass once a node is there, as "the run begins"."""
    online = [node for node in client.nodes() if node.state == "online"]
    able = [node.name for node in online if requirement in node.jobs]
    lacking = rejections(requirement, online)
    return Foreseen(
        told=_told(able, lacking, len(online), what), able=able, lacking=lacking, command=["cluster", *words]
    )  # fmt: skip


def flags(job: Job, options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed."""
    words = []
    for option in (*job.options, job.chunk_size):
        value = options.get(option.name)
        if value is None:
            continue
        if option.type is bool:
            words.append(option.flag if value else f"--no-{option.flag[2:]}")
        else:
            words += [option.flag, str(value)]
    return words


def _told(able: Sequence[str], lacking: Mapping[str, str], online: int, what: str) -> str:
    if not online:
        return f"No node is online: {what} once one comes."
    told = f"{len(able)} of {online} node{'s' * (online > 1)} can do this"
    why = [f"{name}: {reason}" for name, reason in list(lacking.items())[:MOST_TOLD]]
    more = f" (and {len(lacking) - MOST_TOLD} more)" if len(lacking) > MOST_TOLD else ""
    return f"{told}; {'; '.join(why)}{more}." if why else f"{told}."
