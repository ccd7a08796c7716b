"""Forms made from what jobs declare: a field an option, and what a run with these options would need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from cluster import catalog, errors, names
from cluster.client import Client
from cluster.client.nodes import Node, rejections
from cluster.job import Job
from cluster.option import Option

MOST_MAIN = 5
"""Options that stand in the form at first; the others are behind "More"."""
MOST_TOLD = 3
LABELS = {"lang": "Languages"}
"""Of options whose names do not say enough; the others go by their names."""
TICKED = frozenset({("ocr", "words"), ("faces", "describe")})
"""Job and option that a form has ticked at first: the page shows words on pictures, writes PDFs with them, and asks who
the faces are."""


class JobField(BaseModel):
    """An option of a job as a field of a form."""

    name: str
    label: str
    kind: Literal["check", "number", "choice", "text"]
    about: str
    flag: str
    default: bool | int | float | str | None
    minimum: float | None
    maximum: float | None
    step: str
    """Of a number: "1", or "any"."""
    choices: list[str]
    suggestions: list[str]
    """Values that would do now: models that are there, languages that nodes have."""
    is_required: bool
    is_main: bool


class JobForm(BaseModel):
    """A job as a form."""

    job: str
    about: str
    suffixes: list[str]
    """The kinds of files that it reads; none: any."""
    fields: list[JobField]


class Foreseen(BaseModel):
    """What a run with these options needs, and who could do it."""

    told: str
    """A sentence for people."""
    able: list[str]
    """Nodes that could do it now."""
    lacking: dict[str, str]
    """Node that is online -> what it lacks."""
    command: list[str]
    """What does the same on the command line."""


def forms(client: Client) -> list[JobForm]:
    """All jobs that a run can be submitted of, those first that nodes can do now."""
    nodes = [node for node in client.nodes() if node.state == "online"]
    served = {names.plain(capability) for node in nodes for capability in node.jobs}
    models = _models(client)
    jobs = sorted(catalog.jobs().values(), key=lambda job: job.capability not in served)
    return [form(job, nodes, models.get(job.bundles, ())) for job in jobs]


def form(job: Job, nodes: Iterable[Node], models: Sequence[str]) -> JobForm:
    """One job; ``models`` are the names of the models that it can use."""
    shown = [option for option in (*job.options, job.chunk_size) if option.file != "must"]
    fields = [
        _field(job, option, models if option.name in ("model", "from_model") else _served(job, option, nodes))
        for option in shown
    ]
    wanted = [field for field in fields if field.is_required or field.name in job.needs]
    others = [field for field in fields if field not in wanted and field.name != job.chunk_size.name]
    for field in (*wanted, *others[: max(0, MOST_MAIN - len(wanted))]):
        field.is_main = True
    return JobForm(job=job.name, about=job.about, suffixes=sorted(job.suffixes), fields=fields)


def foresee(client: Client, job: str, options: Mapping[str, Any]) -> Foreseen:
    """Ask the nodes who could do a run with these options; waits some seconds for their answers at most.

    Raises:
        errors.ClusterError: As ``Client.prepare``.
    """
    with client.prepare(job, dict(options)) as submission:
        submission.look_for_nodes(lambda pending: None, to_the_end=False)
        requirement = submission.requirement
    online = [node for node in client.nodes() if node.state == "online"]
    able = [node.name for node in online if requirement in node.jobs]
    lacking = rejections(requirement, online)
    return Foreseen(
        told=_told(able, lacking, len(online)), able=able, lacking=lacking, command=command(job, options)
    )  # fmt: skip


def command(job: str, options: Mapping[str, Any], inputs: Sequence[str] = ("FILES",)) -> list[str]:
    """The words of the command that submits such a run."""
    words = ["cluster", "submit", "--job", job]
    known = catalog.get(job)
    for option in (*known.options, known.chunk_size):
        value = options.get(option.name)
        if value is None or value == option.default:
            continue
        if option.type is bool:
            words.append(option.flag if value else f"--no-{option.flag[2:]}")
        else:
            words += [option.flag, str(value)]
    return [*words, *inputs]


def read(job: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The options of a run as fields of a form without JavaScript give them: texts, and boxes only where ticked.

    Raises:
        errors.UsageError: A number is none.
    """
    known = catalog.get(job)
    found: dict[str, Any] = {}
    for option in (*known.options, known.chunk_size):
        text = given.get(option.name, "").strip()
        if option.type is bool:
            found[option.name] = bool(text)
        elif text:
            found[option.name] = _number(option, text) if option.type in (int, float) else text
    return found


def _number(option: Option, text: str) -> int | float:
    try:
        return option.type(text)  # type: ignore[return-value]
    except ValueError:
        raise errors.UsageError(f"{option.flag} is {text!r}; it must be a number") from None


def _field(job: Job, option: Option, suggestions: Sequence[str]) -> JobField:
    kind: Literal["check", "number", "choice", "text"] = "text"
    if option.type is bool:
        kind = "check"
    elif option.type in (int, float):
        kind = "number"
    elif option.choices:
        kind = "choice"
    label = LABELS.get(option.name, option.name.replace("_", " ").capitalize())
    return JobField(
        name=option.name, label=label, kind=kind, about=option.help,
        flag=option.flag, default=True if (job.name, option.name) in TICKED else option.default, minimum=option.minimum,
        maximum=option.maximum, step="1" if option.type is int else "any", choices=list(option.choices),
        suggestions=list(suggestions), is_required=option.required, is_main=False,
    )  # fmt: skip


def _served(job: Job, option: Option, nodes: Iterable[Node]) -> list[str]:
    """The values of an option that decides who can do a run, of the runs that nodes say they can do."""
    if option.name not in job.needs or option.choices:
        return []
    found = set()
    for capability in {capability for node in nodes for capability in node.jobs}:
        if names.plain(capability) == job.capability:
            try:
                found.add(job.needs_of(capability).get(option.name, option.default))
            except ValueError:
                continue  # a node of another version writes it otherwise
    return sorted(str(value) for value in found if value)


def _models(client: Client) -> dict[str, list[str]]:
    """Job -> the names of its models that the cluster has."""
    found: dict[str, list[str]] = {}
    for version in client.models.versions():
        found.setdefault(version.job, []).append(version.name)
    return {job: sorted(set(models)) for job, models in found.items()}


def _told(able: Sequence[str], lacking: Mapping[str, str], online: int) -> str:
    if not online:
        return "No node is online: the run begins once one comes."
    told = f"{len(able)} of {online} node{'s' * (online > 1)} can do this"
    why = [f"{name}: {reason}" for name, reason in list(lacking.items())[:MOST_TOLD]]
    more = f" (and {len(lacking) - MOST_TOLD} more)" if len(lacking) > MOST_TOLD else ""
    return f"{told}; {'; '.join(why)}{more}." if why else f"{told}."
