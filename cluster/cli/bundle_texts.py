"""Texts and JSON about bundles, for people and scripts."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from cluster import logs
from cluster.cli.texts import size
from cluster.client.models import Manifest, State
from cluster.texts import worth_texts
from cluster.texts.bundle_texts import count as count
from cluster.texts.bundle_texts import pushed as pushed

LIVE_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0


def line(manifest: Manifest, state: State) -> str:
    """A row of ``cluster models list``."""
    mark = {state.latest: "" if state.pinned else "current", state.pinned: "pinned"}.get(manifest.version, "")
    when = f"{manifest.created.astimezone():%Y-%m-%d %H:%M}"
    about = f"{count(manifest)}, {size(manifest.size_bytes)}"
    return f"{manifest.ref:24} {manifest.job:14} {about:22} {when}  {logs.plain(manifest.by):20} {mark}".rstrip()


def details(manifest: Manifest, missing: Mapping[str, str]) -> str:
    """``cluster models show``; ``missing`` says which requirements this machine lacks, and why."""
    lines = [
        manifest.ref,
        f"  job          {manifest.job}",
        f"  created      {manifest.created.astimezone():%Y-%m-%d %H:%M:%S} by {logs.plain(manifest.by)}",
        f"  digest       {manifest.digest}",
        f"  files        {count(manifest)}, {size(manifest.size_bytes)}",
    ]
    lines += [
        f"    {file.sha256[:12]}  {size(file.size_bytes):>10}  {logs.plain(file.path)}" for file in manifest.files
    ]
    lines.append(f"  requirements {'' if manifest.requirements else 'none'}".rstrip())
    lines += [
        logs.plain(f"    {required}{f'  (not here: {missing[required]})' if required in missing else ''}")
        for required in manifest.requirements
    ]
    lines += [f"  {line}" for line in worth_texts.lines(manifest.parameters)]
    lines += ["  parameters   " + worth_texts.others(manifest.parameters).replace("\n", "\n    ")]
    return "\n".join(lines)


def as_json(manifest: Manifest, state: State) -> dict[str, Any]:
    """A manifest for scripts, without where its bytes lie."""
    found = manifest.model_dump(mode="json", exclude={"scope": True, "files": {"__all__": {"pieces"}}})
    found |= {"ref": manifest.ref, "size_bytes": manifest.size_bytes}
    return found | {"current": manifest.version == state.current, "pinned": manifest.version == state.pinned}


class Transfer:
    """Shows on stderr how far a push or pull is, once it takes long: a line that changes on a terminal, else lines."""

    def __init__(self, what: str) -> None:
        self._what = logs.plain(what)
        self._live = sys.stderr.isatty()
        self._every_s = LIVE_EVERY_S if self._live else PLAIN_EVERY_S
        self._next = time.monotonic() + self._every_s
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` bytes are through."""
        ended = done >= total
        if not (self._shown and ended) and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        text = f"{self._what}: {size(done)} of {size(total)}"
        click.echo(f"\r{text:60}" if self._live else text, err=True, nl=ended or not self._live)
        self._shown = True
