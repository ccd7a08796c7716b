"""Bundles: versioned sets of model files, with the Python packages they require.

A bundle is pushed once and reaches every node by itself. Its files are data, never code. To a task a bundle is a folder
that holds its files and ``bundle.json`` (job, parameters, requirements).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from cluster.blobs import Ref
    from cluster.bundles.content import Content
    from cluster.bundles.manifest import Manifest
    from cluster.bundles.state import State

Read = Callable[["Manifest", "Ref"], bytes]
"""Reads one piece of a bundle; see ``Bundles.read``."""
Progress = Callable[[int, int], object]
"""Called with the number of bytes that are stored and the number of all bytes."""


class Pushed(NamedTuple):
    """The result of a push."""

    manifest: Manifest
    """The version that has the content."""
    new: bool
    """Whether that version is new; else it was there already, with the same digest."""
    current: int
    """The version that runs now get: that of the manifest, unless the bundle is pinned to another one."""


class Bundles(Protocol):
    """Where bundles are kept. A version never changes; its number is never given again, even when it is removed.

    The current version of a bundle is the one it is pinned to, else the one that was pushed last.
    """

    def push(
        self, name: str, content: Content, by: str, progress: Progress = lambda done, total: None, *,
        again: bool = True, first: bool = False,
    ) -> Pushed:  # fmt: skip
        """Keep a content as the next version of ``name``, and as the current one if the bundle is not pinned.

        If some version of it has the same digest, no new one is made: that version counts as pushed last from now on,
        unless it is not to be pushed ``again``.
        Of two that push at once, each gets a version of its own. Cut short it leaves nothing that can be seen.

        Args:
            name: The bundle's.
            content: The next version's.
            by: Who pushes it.
            progress: Told of each piece.
            again: See above.
            first: Only where the bundle has no version yet; of two that push at once so, one is refused.

        Raises:
            errors.NameTaken: It has one of another content, and only a ``first`` one was to be pushed.
            errors.BadBundle: The content can't be a bundle; the message says why.
            errors.UsageError: The name is none for a bundle, or a file cannot be read.
        """
        ...

    def take_over(self) -> Mapping[str, str]:
        """Take over the bundles that the version before of this program left, with all their versions.

        Called again it goes on with those that are left; a bundle is taken over whole or not at all.

        Returns:
            Name -> why a bundle is not taken over, for people.
        """
        ...

    def names(self) -> list[str]:
        """The bundles that have a version, in order."""
        ...

    def versions(self, name: str) -> list[Manifest]:
        """All versions, the oldest first; those whose manifests cannot be used are left out, with a warning.

        Raises:
            errors.UnknownBundle: There are none.
        """
        ...

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """One version, by default the current one.

        Raises:
            errors.UnknownBundle: There is none; the message names those there are.
            errors.BadBundle: Its manifest cannot be used.
        """
        ...

    def current(self) -> list[Manifest]:
        """The current version of every bundle, by name; without those whose manifests cannot be used."""
        ...

    def state(self, name: str) -> State:
        """Which version of a bundle is the current one, and why; all 0 where there is no such bundle."""
        ...

    def pin(self, name: str, version: int | None) -> None:
        """Make a version the current one whatever is pushed; None: the one that was pushed last, as it changes.

        Raises:
            errors.UnknownBundle: There is no such version.
        """
        ...

    def remove(self, name: str, version: int | None = None) -> list[int]:
        """Forget one version or all; gives those that are gone. If it was pinned, the bundle is no more.

        Raises:
            errors.UnknownBundle: There is nothing to remove.
        """
        ...

    def read(self, manifest: Manifest, piece: Ref) -> bytes:
        """One of the pieces that ``File.refs`` names, verified.

        Raises:
            errors.BlobError: It is gone, or wrong each time it was read.
        """
        ...

    def revision(self) -> int:
        """A number that grows with each change: while it stays the same, nothing needs to be read again."""
        ...
