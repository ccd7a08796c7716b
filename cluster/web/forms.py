"""Forms made from what jobs declare: a field an option, and what is wrong with what was filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from cluster import catalog, errors, names
from cluster.client import Client
from cluster.client.nodes import Node
from cluster.job import Job
from cluster.option import Option
from cluster.web.problems import Problem
from splitters import suffixes

MOST_MAIN = 5
"""Options that stand in the form at first; the others are behind "More"."""
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
    """A job as a form, of a run or of a service."""

    job: str
    about: str
    suffixes: list[str]
    """The kinds of files that it reads; none: any."""
    reads: str
    """The same in words: "pictures, TIFF and HEIC"."""
    fields: list[JobField]


def forms(client: Client) -> list[JobForm]:
    """All jobs that a run can be submitted of, those first that nodes can do now."""
    nodes = [node for node in client.nodes() if node.state == "online"]
    served = {names.plain(capability) for node in nodes for capability in node.jobs}
    models = _models(client)
    jobs = sorted(catalog.jobs().values(), key=lambda job: job.capability not in served)
    return [form(job, nodes, models.get(job.bundles, ())) for job in jobs]


def form(job: Job, nodes: Iterable[Node], models: Sequence[str]) -> JobForm:
    """A run of a job; ``models`` are the names of the models that it can use."""
    fields = [
        _field(job, option, models if option.name in ("model", "from_model") else _served(job, option, nodes))
        for option in (*job.options, job.chunk_size)
    ]
    for field in fields:
        field.default = True if (job.name, field.name) in TICKED else field.default
    return _form(job, fields)


def service_form(job: Job, nodes: Iterable[Node]) -> JobForm:
    """A service of a job: its model has a field of its own, and single items are in no chunks."""
    return _form(
        job, [_field(job, option, _served(job, option, nodes)) for option in job.options if option.name != "model"]
    )


def _form(job: Job, fields: Iterable[JobField]) -> JobForm:
    """Of these fields those that name no file of this machine, the needed ones and a few more first."""
    files = {option.name for option in job.options if option.file == "must"}
    fields = [field for field in fields if field.name not in files]
    wanted = [field for field in fields if field.is_required or field.name in job.needs]
    others = [field for field in fields if field not in wanted and field.name != job.chunk_size.name]
    for field in (*wanted, *others[: max(0, MOST_MAIN - len(wanted))]):
        field.is_main = True
    return JobForm(
        job=job.name, about=job.about, suffixes=sorted(job.suffixes), reads=suffixes.in_words(job.suffixes),
        fields=fields,
    )  # fmt: skip


def check(job: str, options: Mapping[str, Any]) -> None:
    """See that each option can be used, and has this machine read no file for somebody who only knows the page.

    Options that the job does not know are left to those who use them.

    Raises:
        Problem: One cannot (422); its field is ``options.NAME``.
        errors.UnknownJob: There is no such job.
    """
    known = catalog.get(job)
    for option in (*known.options, known.chunk_size):
        if option.name not in options:
            continue
        try:
            value = option.check(options[option.name])
            may_read = isinstance(value, str) and option.may_read(value)
        except errors.UsageError as error:
            raise Problem(422, str(error), field=f"options.{option.name}") from None
        except OSError as error:  # no file can have this name, and nothing else that is wanted
            told = f"{option.flag} {options[option.name][:100]!r}: {error.strerror}"
            raise Problem(422, told, field=f"options.{option.name}") from None
        if may_read:
            told = (
                f"{option.flag} {value[:100]!r} names a file of the machine that this page runs on: use the command"
                " line there"
            )
            raise Problem(422, told, field=f"options.{option.name}")


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
        flag=option.flag, default=option.default, minimum=option.minimum, maximum=option.maximum,
        step="1" if option.type is int else "any", choices=list(option.choices), suggestions=list(suggestions),
        is_required=option.required, is_main=False,
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
