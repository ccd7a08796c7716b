"""The bundles as a machine uses them: which version a run is to have, and the folder where it lies here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import errors, names
from cluster.bundles import Bundles, Pushed, install, requirements, trial
from cluster.bundles.cache import Cache
from cluster.bundles.content import Content
from cluster.bundles.manifest import Manifest
from cluster.job import Job
from cluster.names import ModelRef
from cluster.settings import Settings

if TYPE_CHECKING:
    import redis

    from aggregators import Model
    from cluster.blobs import BlobStore


class ModelStore:
    """The bundles of a cluster, and those of them that lie on this machine.

    Args:
        bundles: Those of the cluster.
        cache: This machine's.
        config: Says whether requirements may be installed.
    """

    def __init__(self, bundles: Bundles, cache: Cache, config: Settings) -> None:
        self.bundles = bundles
        self.cache = cache
        self._config = config
        self._manifests: dict[str, Manifest] = {}
        self._usable: set[tuple[Any, ...]] = set()
        self.trials = trial.Trials()
        self._met: set[tuple[str, ...]] = set()

    def pin(self, job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with the version of the bundle that a run begun now has to its end.

        A run that trains a model nobody knows yet begins without any: its ``model`` stays a mere name.

        Raises:
            errors.UnknownBundle: There is none of that name or version.
            errors.UsageError: It is for another job, or the name cannot be one; or the folder to start from is none.
        """
        if start := options.get("from_model"):
            found = _folder(start) if names.is_folder(start) else self._of_job(start, job).reference
            options = {**options, "from_model": found}
        wanted = options.get("model") if job.bundles else None
        if wanted is None:
            return dict(options)
        try:
            manifest = self._of_job(wanted, job)
        except errors.UnknownBundle as error:
            if job.trains and ModelRef.parse(wanted).version is None:
                return dict(options)
            if job.get_bundle:
                raise errors.UnknownBundle(f"{error}; {job.get_bundle}") from None
            raise
        return {**options, "model": manifest.reference}

    def _of_job(self, ref: str, job: Job) -> Manifest:
        manifest = self.manifest(ref)
        if manifest.job != job.bundles:
            raise errors.UsageError(f"{manifest.ref} is a bundle for the job {manifest.job}, not for {job.bundles}")
        return manifest

    def require(self, job: Job, options: Mapping[str, Any]) -> None:
        """See that the version of a bundle that a run is begun with has not been removed.

        Raises:
            errors.UnknownBundle: It has.
        """
        if ref := version(job, options):
            self._manifests.pop(ref, None)
            self.manifest(ref)

    def options(self, job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as the job's functions take them: ``model`` is the folder of the bundle on this machine.

        It is whole and verified, and fetched if need be. What was installed for it can be imported from now on.

        Raises:
            errors.BlobError, errors.UnknownBundle: It is gone, or damaged.
            errors.NotInstalled: It requires what this machine lacks.
            errors.OtherProcess: This process works with other packages.
        """
        ref = version(job, options)
        if ref is None:
            requirements.activate(None)
            return {**options, "model": None} if job.bundles else dict(options)
        folder = self._folder(ref)
        requirements.activate(self.packages(ref))
        return {**options, "model": str(folder)}

    def fetch(self, ref: str) -> Path:
        """The folder of a bundle on this machine, whole and verified; fetched if need be.

        Raises:
            errors.BlobError, errors.UnknownBundle: It is gone, or damaged.
            errors.NotInstalled: It requires what this machine lacks.
        """
        return self._folder(ref)

    def problem(self, job: Job, options: Mapping[str, Any], keep: Collection[str] = ()) -> str:
        """Why this machine cannot do a job with these options, once all is fetched and installed that may be; or "".

        Unlike ``options`` it leaves this process as it was, so it can be asked about any number of bundles. That a
        bundle can be used is found out once. To make room for it others may be dropped, but not those to ``keep``.

        Raises:
            As ``options``.
        """
        ref = version(job, options)
        if ref is None:
            return job.why_not_here({**options, "model": None} if job.bundles else options)
        self._install(self.manifest(ref))
        here = {**options, "model": str(self._folder(ref, keep))}
        known = (job.capability, *sorted((name, str(value)) for name, value in here.items()))
        if known not in self._usable:
            if found := self.trials.problem(job.name, here, self.packages(ref)):
                return found
            self._usable.add(known)
        return ""

    def packages(self, ref: str) -> Path:
        """The folder of what is installed for a bundle on this machine; it need not exist."""
        return self.cache.packages(self.manifest(ref).requirements)

    def manifest(self, ref: str) -> Manifest:
        """The manifest of a ``Manifest.reference``, which never changes; of a name or version, the one there now.

        Raises:
            errors.UnknownBundle: There is none, or by now another one of that number: Redis has lost what it had.
            errors.UsageError: ``ref`` is no reference.
        """
        if ref in self._manifests:
            return self._manifests[ref]
        wanted = ModelRef.parse(ref)
        manifest = self.bundles.manifest(wanted.name, wanted.version)
        if not manifest.digest.startswith(wanted.digest):
            raise errors.UnknownBundle(f"the bundle {wanted.without_digest} is another one by now than that of the run")
        if wanted.digest:
            self._manifests[ref] = manifest
        return manifest

    def may_bring(self, manifest: Manifest) -> bool:
        """Whether what a bundle requires can be here, though this machine by itself lacks it."""
        here = self.cache.packages(manifest.requirements).is_dir()
        return bool(manifest.requirements) and (here or self._config.install == "allow")

    def publish(self, job: Job, name: str, made: Model, by: str, *, first: bool = False) -> Pushed:
        """Make what a run has trained the next version of the bundle it was begun for.

        Args:
            job: The run's.
            name: Its option ``model``: the version it began with, or a mere name.
            made: Its result.
            by: Whom to name.
            first: See ``Bundles.push``.

        Raises:
            errors.NameTaken: As ``Bundles.push``.
        """
        ref = ModelRef.parse(name)
        before = None if ref.version is None else self.manifest(name)
        parameters = {**(before.parameters if before else {}), **made.parameters}
        content = Content(job.bundles, made.files, before.requirements if before else (), parameters)
        return self.bundles.push(ref.name, content, by, again=False, first=first)

    def current(self) -> list[Manifest]:
        """The versions that runs submitted now get."""
        return self.bundles.current()

    def lacks(self, manifest: Manifest) -> str:
        """Which of the packages that a bundle requires this machine lacks, and what to do; "" for none."""
        if manifest.requirements in self._met:
            return ""
        missing = requirements.missing(manifest.requirements, self.cache.packages(manifest.requirements))
        if not missing:
            self._met.add(manifest.requirements)  # to look again for each chunk would cost it 5 ms
            return ""
        what = "; ".join(f"{line} ({why})" for line, why in missing.items())
        if self._config.install == "allow":
            return what
        asked = "its owner has not agreed yet" if self._config.install == "ask" else "CLUSTER_INSTALL is never here"
        return f"{what}; {asked}; to install: cluster models install {manifest.ref}"

    def _folder(self, ref: str, keep: Collection[str] = ()) -> Path:
        manifest = self.manifest(ref)
        if lacks := self.lacks(manifest):
            raise errors.NotInstalled(f"the bundle {ref} requires {lacks}")
        return self.cache.fetch(manifest, self.bundles.read, keep=keep)

    def _install(self, manifest: Manifest) -> None:
        """Install what a bundle requires and this machine lacks, into a folder of its own, where that is allowed."""
        if self._config.install == "allow":
            install.install(manifest.requirements, self.cache.packages(manifest.requirements))


def _folder(text: str) -> str:
    """The whole path of a folder with the files of a bundle: another folder may be the current one when it is read.

    Raises:
        errors.UsageError: There is none.
    """
    if not Path(text).is_dir():
        raise errors.UsageError(f"there is no folder {text}")
    return str(Path(text).absolute())


def version(job: Job, options: Mapping[str, Any]) -> str | None:
    """The version of a bundle that the options name; None where there is none, or one is yet to be trained."""
    ref = options.get("model") if job.bundles and "model" in job.needs else None
    return ref if ref and ModelRef.parse(ref).version is not None else None


def connect(config: Settings, client: redis.Redis, store: BlobStore) -> ModelStore:
    """The model store of a machine that works for a cluster."""
    from cluster.bundles.redis import RedisBundles

    found = RedisBundles(client, store) if config.bundle_dir is None else _in_folder(config.bundle_dir)
    return ModelStore(found, _cache(config), config)


def here(config: Settings) -> ModelStore:
    """The model store of a machine that works for itself: the bundles are its own."""
    return ModelStore(_in_folder(config.models_folder), _cache(config), config)


def _in_folder(place: Path) -> Bundles:
    from cluster.bundles.local import FolderBundles

    return FolderBundles(place)


def _cache(config: Settings) -> Cache:
    return Cache(config.bundle_cache, config.bundle_cache_bytes)
