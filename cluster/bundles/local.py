"""The bundles of this machine, in a folder: the same contract without a broker.

NAME/state.json     {"last": 3, "latest": 3, "pinned": 0}, as ``State``
NAME/3.json         the manifest of version 3; without it there is no such version
NAME/3/             its files and bundle.json, as a task gets them
"""

from __future__ import annotations

import fcntl
import logging
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

from cluster import blobs, errors, names
from cluster.blobs import Ref
from cluster.bundles import Progress, Pushed, content, folder
from cluster.bundles.content import Content
from cluster.bundles.manifest import Manifest
from cluster.bundles.paths import DRAFT
from cluster.bundles.state import State, taken, unknown

STATE = "state.json"
LOCK = ".lock"
REVISION = "revision"
log = logging.getLogger(__name__)


class FolderBundles:
    """See ``Bundles``. A writer holds a lock; a reader needs none, for each version in the folder is whole."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def push(
        self, name: str, given: Content, by: str, progress: Progress = lambda done, total: None, *,
        again: bool = True, first: bool = False,
    ) -> Pushed:  # fmt: skip
        """See ``Bundles.push``."""
        draft = content.draft(given, name, by, datetime.now(UTC).replace(microsecond=0))
        with self._locked():
            self._sweep()
            for known in self._manifests(name):
                if known.digest == draft.digest:
                    state = self.state(name)
                    if again and state.latest != known.version:
                        state = state._replace(latest=known.version)
                        self._keep(name, state)
                    return Pushed(known, new=False, current=state.current)
            if first and self._numbers(name):
                raise taken(name)
            return self._enter(draft, given, progress)

    def take_over(self) -> dict[str, str]:
        """See ``Bundles.take_over``: in a folder there is nothing to do, as its form is the same."""
        return {}

    def names(self) -> list[str]:
        """See ``Bundles.names``."""
        if not self._place.is_dir():
            return []
        found = []
        for name in sorted(path.name for path in self._place.iterdir() if names.is_model(path.name)):
            try:
                found += [name] if self._numbers(name) else []
            except OSError as error:
                log.warning(
                    "the bundle %s is passed over: %s", name, error.strerror, extra={"event": "bundle-unusable"}
                )
        return found

    def versions(self, name: str) -> list[Manifest]:
        """See ``Bundles.versions``."""
        if not self._numbers(name):
            raise self._unknown(name)
        return self._manifests(name)

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """See ``Bundles.manifest``."""
        number = version or self.state(name).current
        try:
            row = (self._place / name / f"{number}.json").read_bytes()
        except FileNotFoundError:
            raise self._unknown(name, version) from None
        return Manifest.from_row(name, number, row)

    def current(self) -> list[Manifest]:
        """See ``Bundles.current``."""
        found = []
        for name in self.names():
            try:
                found.append(self.manifest(name))
            except errors.UsageError as error:
                log.warning("a bundle is passed over: %s", error, extra={"event": "bundle-unusable"})
        return found

    def state(self, name: str) -> State:
        """See ``Bundles.state``. What a push entered that died before it wrote the state counts, too."""
        try:
            found = State(**orjson.loads((self._place / name / STATE).read_bytes()))
        except (OSError, ValueError, TypeError):
            found = State()
        numbers = self._numbers(name)
        unsaid = [number for number in numbers if number > found.last]
        latest = found.latest if found.latest in numbers and not unsaid else max(numbers, default=0)
        return State(max([found.last, *numbers]), latest, found.pinned if found.pinned in numbers else 0)

    def pin(self, name: str, version: int | None) -> None:
        """See ``Bundles.pin``."""
        with self._locked():
            numbers = self._numbers(name)
            if not numbers or version not in (None, *numbers):
                raise self._unknown(name, version)
            self._keep(name, self.state(name)._replace(pinned=version or 0))

    def remove(self, name: str, version: int | None = None) -> list[int]:
        """See ``Bundles.remove``."""
        with self._locked():
            numbers = self._numbers(name)
            gone = [number for number in numbers if version in (None, number)]
            if not gone:
                raise self._unknown(name, version)
            state, left = self.state(name), [number for number in numbers if number not in gone]
            for number in gone:
                (self._place / name / f"{number}.json").unlink()
                shutil.rmtree(self._place / name / str(number), ignore_errors=True)
            latest = state.latest if state.latest in left else max(left, default=0)
            self._keep(name, state._replace(latest=latest, pinned=state.pinned if state.pinned in left else 0))
            return gone

    def read(self, manifest: Manifest, piece: Ref) -> bytes:
        """See ``Bundles.read``."""
        place = self._place / manifest.name / str(manifest.version)
        data = folder.piece(place, manifest, piece.sha256)
        if data is None:
            raise errors.BlobMissing(f"{manifest.ref}: the piece {piece.sha256[:12]} is gone from {place}")
        if blobs.address(data) != piece:
            raise errors.BlobCorrupt(f"{manifest.ref}: a file in {place} was changed; push the bundle again")
        return data

    def revision(self) -> int:
        """See ``Bundles.revision``."""
        try:
            return int((self._place / REVISION).read_text())
        except (OSError, ValueError):
            return 0

    def _enter(self, draft: Manifest, given: Content, progress: Progress) -> Pushed:
        """Write the next version; its manifest comes last, and makes it one."""
        home = self._place / draft.name
        state = self.state(draft.name)
        number = max([state.last, *self._numbers(draft.name)]) + 1
        manifest = draft.model_copy(update={"version": number})
        pieces = content.pieces(given, draft.files)
        done = 0

        def read(_: Manifest, __: Ref) -> bytes:
            nonlocal done
            data = next(pieces)[1]
            done += len(data)
            progress(done, draft.size_bytes)
            return data

        place = self._place / f"{DRAFT}{uuid.uuid4().hex}"
        place.mkdir()
        try:
            folder.write(place, manifest, read)
            for path in (place, *place.rglob("*")):
                self._share(path)
            home.mkdir(exist_ok=True)
            self._share(home)
            shutil.rmtree(home / str(number), ignore_errors=True)  # its writer died before the manifest was written
            place.rename(home / str(number))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        self._write(home / f"{number}.json", manifest.row())
        state = state._replace(last=number, latest=number)
        self._keep(draft.name, state)
        return Pushed(manifest, new=True, current=state.current)

    def _manifests(self, name: str) -> list[Manifest]:
        found = []
        for number in self._numbers(name):
            try:
                found.append(self.manifest(name, number))
            except errors.UsageError as error:
                log.warning("a bundle is passed over: %s", error, extra={"event": "bundle-unusable"})
        return found

    def _numbers(self, name: str) -> list[int]:
        """The versions there are."""
        try:
            files = list((self._place / name).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(path.stem) for path in files if re.fullmatch(r"[1-9][0-9]{0,8}\.json", path.name))

    def _keep(self, name: str, state: State) -> None:
        self._write(self._place / name / STATE, orjson.dumps(state._asdict()))
        self._write(self._place / REVISION, str(self.revision() + 1).encode())

    def _write(self, path: Path, data: bytes) -> None:
        draft = self._place / f"{DRAFT}{uuid.uuid4().hex}"
        try:
            draft.write_bytes(data)
            self._share(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._place.mkdir(parents=True, exist_ok=True)
        with (self._place / LOCK).open("w") as held:
            self._share(self._place / LOCK)
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _share(self, path: Path) -> None:
        """Give those who may use the whole folder the same rights to what is new in it, whatever our umask says."""
        with suppress(OSError):  # another user's, which has its rights already, or the file system has no rights
            of_all, mode = self._place.stat().st_mode, path.stat().st_mode
            wanted = mode | of_all & (0o077 if path.is_dir() else 0o066)
            if wanted != mode and not of_all & stat.S_ISVTX:  # with that bit each is to keep to his own
                path.chmod(wanted)

    def _sweep(self) -> None:
        """Remove what killed writers have left; call it with the lock held."""
        for path in self._place.glob(f"{DRAFT}*"):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _unknown(self, name: str, version: int | None = None) -> errors.UnknownBundle:
        return unknown(name, version, self.names(), self._numbers(name))
