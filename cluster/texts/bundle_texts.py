"""Texts about versions of models."""

from __future__ import annotations

from cluster import texts
from cluster.client.models import Manifest, Pushed


def pushed(found: Pushed) -> str:
    """Describe the result of a push, for the place after its ref."""
    manifest = found.manifest
    about = f"{count(manifest)}, {texts.size(manifest.size_bytes)}, for the job {manifest.job}"
    words = about if found.new else f"was there already with the same content ({about})"
    if found.current != manifest.version:
        return f"{words}; runs still get version {found.current}, to which {manifest.name} is pinned"
    return words


def count(manifest: Manifest) -> str:
    """How many files it has."""
    return texts.count(len(manifest.files), "file")
