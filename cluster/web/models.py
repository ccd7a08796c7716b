"""The models of the cluster: their versions, what they are worth, who serves them; push, pin, remove."""

from __future__ import annotations

import logging
from datetime import datetime

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from cluster import errors
from cluster.client import models as models_
from cluster.client.models import Manifest, OnNodes, State
from cluster.names import ModelRef
from cluster.roles import Role
from cluster.texts import bundle_texts, worth_texts
from cluster.web import model_files, reports
from cluster.web.problems import Problem
from cluster.web.reports import Report
from cluster.web.routes import Action, Asked, Route, View

MOST_FILES = 200
"""Files of a version that its page lists."""
log = logging.getLogger(__name__)


class Version(BaseModel):
    """A version of a model."""

    ref: str
    version: int
    job: str
    created: datetime
    by: str
    files: int
    size_bytes: int
    score: str
    """As "accuracy 0.9512 on 4,000 rows"; "" where its bundle tells none."""
    current: bool
    """Runs that begin get it."""
    pinned: bool
    """Runs get it whatever is pushed."""


class Model(BaseModel):
    """A model: the version that runs get, and who has it."""

    name: str
    versions: int
    """How many there are."""
    current: Version
    nodes: OnNodes
    services: list[str]
    """The services that serve it."""


class Models(BaseModel):
    """All models."""

    models: list[Model]
    jobs: list[str]
    """The jobs that there are models for."""


class ModelFile(BaseModel):
    """A file of a version."""

    path: str
    size_bytes: int
    sha256: str


class Requirement(BaseModel):
    """A Python package that a version requires."""

    line: str
    missing: str
    """Why this page's machine lacks it; "" if it has it."""


class OneModel(BaseModel):
    """A version of a model in full, and the other versions."""

    name: str
    shown: Version
    digest: str
    versions: list[Version]
    """All, the latest first."""
    pinned: int
    """The version that the model is pinned to; 0: runs get what is pushed last."""
    nodes: OnNodes
    used_by: list[str]
    """The runs that use the version shown, and the services, as "the service office"."""
    runs: int
    """How many of these are runs: they end as failed if it is removed."""
    requirements: list[Requirement]
    files: list[ModelFile]
    """At most 200."""
    parameters: str
    """Those that are not shown otherwise, as JSON."""
    report: Report


class Removed(BaseModel):
    """What was removed."""

    removed: list[str]
    failed: list[str]
    """The runs that used it, and have failed."""
    current: str
    """The version that runs get now; "" where the model is gone."""


class Current(BaseModel):
    """The version that runs get now."""

    current: str


class PushOptions(BaseModel):
    """How files are pushed."""

    job: str | None = Field(None, description="The job it is for; by default that in bundle.json.")
    requirements: str = Field("", description="Lines as numpy==1.26.4 --hash=sha256:…; by default those in bundle.json")
    force: bool = Field(False, description="Also if this machine has tried it and cannot use it; others may.")


class PushedModel(BaseModel):
    """What a push came to."""

    ref: str
    new: bool
    """False: this content was there already."""
    current: str
    told: str
    """How many files it has, and whether runs get it."""
    left_out: list[str]
    """Files that were left out, as their names start with a dot."""


class RemoveOptions(BaseModel):
    """How a version is removed."""

    force: bool = Field(False, description="Also if runs use it: they end as failed.")


def show_all(asked: Asked) -> Models:
    """All models."""
    found, nodes, services = asked.web.client.models, asked.web.client.nodes(), asked.web.client.services()
    by_name: dict[str, list[Manifest]] = {}
    for manifest in found.versions():
        by_name.setdefault(manifest.name, []).append(manifest)
    shown = []
    for name, versions in sorted(by_name.items()):
        state = found.state(name)
        current = next((one for one in versions if one.version == state.current), None)
        if current is not None:  # else it was removed a moment ago
            serving = [one.service for one in services if one.model and ModelRef.parse(one.model).name == name]
            shown.append(
                Model(
                    name=name, versions=len(versions), current=_version(current, state),
                    nodes=found.on_nodes(current, nodes), services=serving,
                )
            )  # fmt: skip
    return Models(models=shown, jobs=models_.jobs())


def show(asked: Asked) -> OneModel:
    """A version of a model."""
    found = asked.web.client.models
    manifest = found.get(asked.at["ref"])
    state, missing = found.state(manifest.name), found.missing(manifest.ref)
    versions = sorted((one for one in found.versions() if one.name == manifest.name), key=lambda one: -one.version)
    used_by = found.in_use(ModelRef.parse(manifest.ref))
    return OneModel(
        name=manifest.name,
        shown=_version(manifest, state),
        digest=manifest.digest,
        versions=[_version(one, state) for one in versions],
        pinned=state.pinned,
        nodes=found.on_nodes(manifest, asked.web.client.nodes()),
        used_by=list(used_by),
        runs=sum(not one.startswith("the service ") for one in used_by),
        requirements=[Requirement(line=line, missing=missing.get(line, "")) for line in manifest.requirements],
        files=[
            ModelFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
            for file in manifest.files[:MOST_FILES]
        ],
        parameters=worth_texts.others(manifest.parameters),
        report=reports.of_parameters(manifest.parameters),
    )  # fmt: skip


def _version(manifest: Manifest, state: State) -> Version:
    return Version(
        ref=manifest.ref, version=manifest.version, job=manifest.job, created=manifest.created, by=manifest.by,
        files=len(manifest.files), size_bytes=manifest.size_bytes, score=worth_texts.score(manifest.parameters),
        current=manifest.version == state.current, pinned=manifest.version == state.pinned,
    )  # fmt: skip


def pin(asked: Asked) -> Current:
    """Have runs that begin from now on get this version."""
    ref = ModelRef.typed(asked.at["ref"])
    if ref.version is None:
        raise Problem(422, f"name the version to pin to, as {ref}:2")
    asked.web.client.models.pin(str(ref))
    log.info("%s pinned %s", asked.who.name, ref)
    return _current(asked, ref.name)


def unpin(asked: Asked) -> Current:
    """Have runs get what is pushed last."""
    name = ModelRef.typed(asked.at["ref"]).name
    asked.web.client.models.pin(name)
    log.info("%s pins %s no more", asked.who.name, name)
    return _current(asked, name)


def remove(asked: Asked) -> Removed:
    """Remove a version, or by a name alone all of them."""
    failed: list[str] = []
    ref = ModelRef.typed(asked.at["ref"])
    gone = asked.web.client.models.remove(
        str(ref), force=asked.query.force, on_failed=lambda run, one: failed.append(run)
    )
    log.info("%s removed %s", asked.who.name, ", ".join(map(str, gone)))
    return Removed(removed=[str(one) for one in gone], failed=failed, current=_current(asked, ref.name).current)


async def push(asked: Asked) -> PushedModel:
    """Make the files of the body the next version of a model."""
    async with model_files.received(asked.request, asked.web.folder / "models") as folder:
        left_out: list[str] = []

        def do() -> models_.Pushed:
            lines = [line for line in asked.query.requirements.splitlines() if line.strip()]
            return asked.web.client.models.push(
                asked.at["ref"], folder, asked.query.job or None, lines, force=asked.query.force, by=asked.who.name,
                on_left_out=left_out.append,
            )  # fmt: skip

        try:
            found = await run_in_threadpool(do)
        except errors.UsageError as error:  # it names a place on this machine that nobody has seen
            said = str(error).replace(f"{folder}/", "").replace(str(folder), "what was sent")
            raise Problem(
                422, said.replace("Give --job", "Choose it").replace("--force pushes", "force pushes")
            ) from None
    log.info("%s pushed %s", asked.who.name, found.manifest.ref)
    return PushedModel(
        ref=found.manifest.ref, new=found.new, current=str(ModelRef(found.manifest.name, found.current)),
        told=bundle_texts.pushed(found), left_out=left_out,
    )  # fmt: skip


def _current(asked: Asked, name: str) -> Current:
    current = asked.web.client.models.state(name).current
    return Current(current=str(ModelRef(name, current)) if current else "")


ROUTES: tuple[Route, ...] = (
    View("/models", show_all, "models.html", "The models of the cluster, and who has them."),
    View("/models/{ref}", show, "model.html", "A version of a model, NAME:VERSION; by NAME the one that runs get."),
    Action(
        "POST", "/api/models/{ref}/versions", push,
        "Make files the next version of the model: a ZIP archive, or each file as a line of JSON with name and size and"
        " its bytes behind. They are checked as by `cluster models push`.",
        Role.OPERATOR, query=PushOptions, takes_bytes=True,
    ),
    Action("POST", "/api/models/{ref}/pin", pin, "Have runs get this version, whatever is pushed.", Role.OPERATOR),
    Action("DELETE", "/api/models/{ref}/pin", unpin, "Have runs get the version that is pushed last.", Role.OPERATOR),
    Action(
        "DELETE", "/api/models/{ref}", remove, "Remove a version, or by a name alone all versions.", Role.OPERATOR,
        query=RemoveOptions,
    ),
)  # fmt: skip
