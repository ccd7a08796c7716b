"""``cluster models``: push, list, show, pull, remove, pin, install."""

from __future__ import annotations

import functools
import getpass
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click

from cluster import catalog, errors, logs, names, settings
from cluster.blobs import Ref
from cluster.bundles import Bundles, content, folder, requirements, shelf, trial
from cluster.bundles.install import install
from cluster.bundles.manifest import Manifest
from cluster.bundles.shelf import Shelf
from cluster.cli import bundle_texts, print_text, say, shared
from cluster.job import Job
from cluster.names import ModelRef
from cluster.runs import demand
from cluster.runs.cancel import cancel
from cluster.settings import Settings


class Place(NamedTuple):
    """Where the bundles are that a command is about."""

    models: Shelf
    config: Settings
    in_use: Callable[[ModelRef], Sequence[str]]
    """The runs that are running with a version."""
    fail: Callable[[str, str], object]
    """Ends a run that is in use, with a reason."""

    @classmethod
    def of(cls, broker: str | None) -> Place:
        """The cluster that is asked for; without a broker, this machine."""
        config = settings.load(broker_url=broker)
        if config.broker_url is None:
            say(f"no broker is set; these are the bundles of this machine ({config.models_folder})")
            return cls(shelf.here(config), config, lambda ref: (), lambda run, why: None)
        config, stores = shared.connect(broker)
        in_use = functools.partial(demand.in_use, stores)
        return cls(stores.models, config, in_use, lambda run, why: cancel(run, stores, why, "failed"))

    @property
    def bundles(self) -> Bundles:
        """The store."""
        return self.models.bundles

    def announce(self) -> None:
        """Have all nodes look at once; those that miss it look with their next beat."""
        if self.config.broker_url is not None:
            from cluster import celery_app

            with closing(celery_app.build(self.config, patient=False)) as app:
                app.control.broadcast("beat")


@click.group(
    "models",
    epilog="\b\nExamples:\n"
    "  cluster models push office ./office --job faces\n"
    "  cluster models list\n"
    "  cluster models push --help",
)
def command() -> None:
    """Keep bundles of model files, which reach every node by themselves.

    A bundle is a folder of data files (npz, JSON, XML, ONNX) for one job, with a version. NAME:VERSION is one version,
    NAME the current one: that pushed last, or that it is pinned to. Without a broker these commands are about the
    bundles of this machine.
    """


@command.command(
    "push", epilog="\b\nExample:\n  cluster models push office ./office --job faces --requirement numpy==1.26.4"
)
@click.argument("name")
@click.argument("source", metavar="FOLDER", type=shared.PATH)
@click.option("--job", help="The job it is for; by default that in FOLDER/bundle.json.")
@click.option("--requirement", "required", multiple=True, metavar="LINE", help="As numpy==1.26.4; may be given again.")
@click.option("--force", is_flag=True, help="Also if this machine has tried it and cannot use it; others may.")
@shared.broker
@shared.as_json
def push(
    name: str, source: Path, job: str | None, required: tuple[str, ...], force: bool, broker: str | None, as_json: bool
) -> None:
    """Make the files of FOLDER the next version of the bundle NAME.

    FOLDER/bundle.json may say {"job": "…", "requirements": ["numpy==1.26.4"], "parameters": {…}}; the options win.
    The same content again is no new version. Pickles and programs are refused, and what cannot be used.
    """
    given = content.read_folder(source, job, required)
    _check_takes_bundles(catalog.get(given.job))
    for left_out in given.passed_over:
        say(f"left out, as its name starts with a dot: {logs.plain(left_out)}")
    place = Place.of(broker)
    _check_can_be_used(name, given, place.models, force=force)
    found = place.bundles.push(name, given, _whoami(), bundle_texts.Transfer(name))
    place.announce()
    if as_json:
        shared.print_json({**bundle_texts.as_json(found.manifest, place.bundles.state(name)), "new": found.new})
    else:
        print_text(f"{found.manifest.ref}  {bundle_texts.pushed(found)}")


@command.command("list", epilog="\b\nExample:\n  cluster models list --json")
@shared.broker
@shared.as_json
def list_all(broker: str | None, as_json: bool) -> None:
    """List all bundles with all their versions, the oldest first."""
    store = Place.of(broker).bundles
    found = [(manifest, store.state(name)) for name in store.names() for manifest in store.versions(name)]
    if as_json:
        shared.print_json([bundle_texts.as_json(manifest, state) for manifest, state in found])
        return
    for manifest, state in found:
        print_text(bundle_texts.line(manifest, state))
    if not found:
        say("no bundles yet (`cluster models push` makes one)")


@command.command(
    "show",
    short_help="Show what a version holds and requires.",
    epilog="\b\nExamples:\n  cluster models show office\n  cluster models show office:2 --json",
)
@click.argument("ref")
@shared.broker
@shared.as_json
def show(ref: str, broker: str | None, as_json: bool) -> None:
    """Show what REF holds and requires, and which of that this machine lacks."""
    place = Place.of(broker)
    manifest = place.models.manifest(ref)
    missing = requirements.missing(manifest.requirements, place.models.packages(manifest.ref))
    if as_json:
        state = place.bundles.state(manifest.name)
        shared.print_json({**bundle_texts.as_json(manifest, state), "missing": missing})
    else:
        print_text(bundle_texts.details(manifest, missing))


@command.command(
    "pull",
    short_help="Write the files of a version to a folder.",
    epilog="\b\nExample:\n  cluster models pull office:2 ./office-2",
)
@click.argument("ref")
@click.argument("target", metavar="FOLDER", type=shared.PATH)
@shared.broker
def pull(ref: str, target: Path, broker: str | None) -> None:
    """Write the files of REF and its bundle.json to FOLDER, which must be new or empty."""
    folder.check_new(target)
    place = Place.of(broker)
    manifest = place.models.manifest(ref)
    transfer, done = bundle_texts.Transfer(manifest.ref), 0

    def read(of: Manifest, piece: Ref) -> bytes:
        nonlocal done
        data = place.bundles.read(of, piece)
        done += len(data)
        transfer(done, of.size_bytes)
        return data

    folder.write_new(target, manifest, read)
    say(f"{manifest.ref}: {bundle_texts.count(manifest)} in {target}")


@command.command(
    "remove",
    short_help="Remove a version, or all of a bundle.",
    epilog="\b\nExamples:\n  cluster models remove office:2\n  cluster models remove office --force",
)
@click.argument("ref")
@click.option("--force", is_flag=True, help="Also if runs use it: they end as failed.")
@shared.broker
def remove(ref: str, force: bool, broker: str | None) -> None:
    """Remove the version REF, or with a name alone all versions of that bundle. Their numbers are not given again."""
    place = Place.of(broker)
    name, version, _ = ModelRef.typed(ref)
    versions = [version] if version else [manifest.version for manifest in place.bundles.versions(name)]
    for one in (ModelRef(name, number) for number in versions):
        if not force and (running := place.in_use(one)):
            raise errors.UsageError(
                f"{one} is in use by {', '.join(running)}; --force removes it all the same, and ends these as failed"
            )
    gone = place.bundles.remove(name, version)
    for one in (ModelRef(name, number) for number in gone):
        # They would wait for ever for a node that has it. Who is about to begin a run sees that it is gone.
        for run in set(place.in_use(one)) - {demand.BEING_SUBMITTED}:
            place.fail(run, f"its bundle {one} was removed")
            say(f"{logs.plain(run)}: failed, as {one} is removed")
    place.announce()
    for number in gone:
        print_text(f"removed {ModelRef(name, number)}")
    if current := place.bundles.state(name).current:
        say(f"runs get {ModelRef(name, current)} now")


@command.command(
    "pin",
    short_help="Fix the version that runs get.",
    epilog="\b\nExamples:\n  cluster models pin office:2\n  cluster models pin office --latest",
)
@click.argument("ref")
@click.option("--latest", is_flag=True, help="Pin it no more: runs get the version that is pushed last.")
@shared.broker
def pin(ref: str, latest: bool, broker: str | None) -> None:
    """Have runs that begin from now on get the version REF, whatever is pushed."""
    name, version, _ = ModelRef.typed(ref)
    if latest == (version is not None):
        raise errors.UsageError(f"give a version to pin to ({ModelRef(name, 2)}, say), or a name with --latest")
    place = Place.of(broker)
    place.bundles.pin(name, version)
    place.announce()
    now = ModelRef(name, place.bundles.state(name).current)
    say(f"runs get {now}{'' if latest else ', whatever is pushed'}")


@command.command(
    "install",
    short_help="Install here the packages that a version requires.",
    epilog="\b\nExample:\n  cluster models install office:2",
)
@click.argument("ref")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@shared.broker
def install_requirements(ref: str, yes: bool, broker: str | None) -> None:
    """Install here the Python packages that REF requires and this machine lacks, into a folder of its own.

    Only pinned ones (NAME==VERSION) are installed, without what else they depend on. This Python stays as it is.
    """
    place = Place.of(broker)
    manifest = place.models.manifest(ref)
    packages = place.models.packages(manifest.ref)
    if not requirements.missing(manifest.requirements, packages):
        say(f"{manifest.ref}: all it requires is here")
        return
    say(f"{manifest.ref}, pushed by {logs.plain(manifest.by)}, requires what this machine lacks:")
    for line, why in requirements.missing(manifest.requirements).items():
        say(logs.plain(f"  {line}  ({why})"))
    if not yes:
        if not sys.stdin.isatty():
            raise errors.UsageError("nobody is there to ask whether to install them; say so with --yes")
        click.confirm(f"Install them into {packages}?", abort=True, err=True)
    for line in install(manifest.requirements, packages):
        print_text(f"installed {logs.plain(line.partition(' ')[0])}")


def _check_takes_bundles(job: Job) -> None:
    """Raise ``errors.UsageError`` unless jobs have bundles of this one."""
    known = sorted({other.bundles for other in catalog.jobs().values() if other.bundles})
    if job.name not in known:
        hint = f"; those of {job.name} are for the job {job.bundles}: --job {job.bundles}" if job.bundles else ""
        raise errors.UsageError(f"no bundle is for the job {job.name} (they are for: {', '.join(known)}){hint}")


def _check_can_be_used(name: str, given: content.Content, models: Shelf, *, force: bool) -> None:
    """Try a content as a node will, as far as this machine can.

    Raises:
        errors.BadBundle: No machine can use it; or this one cannot, unless that is no matter by ``force``.
    """
    job, drafted = catalog.get(given.job), content.draft(given, name, _whoami(), datetime.now(UTC))
    packages = models.cache.packages(drafted.requirements)
    lacks = job.why_unavailable() or requirements.missing(drafted.requirements, packages)
    why = trial.problem_of(given, drafted, job, None if lacks or force else packages)
    if why.startswith(trial.UNUSABLE):
        raise errors.BadBundle(f"{name}: {why}")
    if why:
        raise errors.BadBundle(f"{name}: this machine has tried it: {why}; --force pushes it all the same")


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return names.person(user, socket.gethostname())
