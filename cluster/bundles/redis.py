"""The bundles of a cluster: manifests in Redis, pieces in the blob store."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import redis

from cluster import blobs, errors, keys, names, older, redis_client, redis_outage, redis_rows
from cluster.bundles import Progress, Pushed, content
from cluster.bundles.content import Content
from cluster.bundles.manifest import Manifest
from cluster.bundles.state import State, taken, unknown
from cluster.scripts import Scripts

if TYPE_CHECKING:
    from cluster.blobs import BlobStore, Ref

REMOVED_S = 60
REVISION = "#revision"
"""The field beside the names, which none of them can be."""
log = logging.getLogger(__name__)


class RedisBundles:
    """See ``Bundles``. Its manifests do not expire, nor do their pieces once they are entered."""

    def __init__(self, client: redis.Redis, store: BlobStore) -> None:
        self._redis = client
        self._blobs = store
        self._scripts = Scripts(client, "cluster.bundles")

    def push(
        self, name: str, given: Content, by: str, progress: Progress = lambda done, total: None, *,
        again: bool = True, first: bool = False,
    ) -> Pushed:  # fmt: skip
        """See ``Bundles.push``. The pieces of one that is cut short expire, like those of a run."""
        now: Any = self._redis.time()
        self.take_over()
        scope = keys.bundle_scope(name, secrets.token_hex(8))
        draft = content.draft(given, name, by, datetime.fromtimestamp(now[0], UTC), scope)
        row = draft.row()
        if known := self._known(draft, again=again, first=first):
            return known
        try:
            self._upload(given, draft, progress)
        except BaseException:
            with suppress(redis.RedisError):  # what is left expires
                self._blobs.drop(scope)
            raise
        try:
            # If this fails otherwise nobody knows whether it is entered: nothing may be dropped.
            pushed = self._enter(draft, row, again=again, first=first)
        except errors.NameTaken:
            self._blobs.drop(scope)
            raise
        if not pushed.new:  # somebody else pushed the same meanwhile
            self._blobs.drop(scope)
        return pushed

    def take_over(self) -> dict[str, str]:
        """See ``Bundles.take_over``. What the version before has at work must end first, as it would miss them."""
        rows: Any = self._redis.hgetall(keys.OLDER_BUNDLES)
        found = [name for raw in rows if names.is_model(name := raw.decode(errors="replace"))]
        if not found:
            return {}
        if there := older.at_work(self._redis):
            why = f"pushed with version {keys.OLDER_VERSION}, and taken over once that has ended: {', '.join(there)}"
            return dict.fromkeys(found, why)
        return {name: why for name in found if (why := self._take_over(name))}

    def names(self) -> list[str]:
        """See ``Bundles.names``."""
        return sorted(name for name, state in self._states().items() if state.latest)

    def versions(self, name: str) -> list[Manifest]:
        """See ``Bundles.versions``."""
        rows: Any = self._redis.hgetall(keys.bundle(name))
        if not rows:
            raise self._unknown(name)
        found = [_usable(name, version, row) for version, row in rows.items()]
        return sorted((manifest for manifest in found if manifest), key=lambda manifest: manifest.version)

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """See ``Bundles.manifest``."""
        number = version or self.state(name).current
        row: Any = self._redis.hget(keys.bundle(name), str(number))
        if row is None and self._redis.hexists(keys.OLDER_BUNDLES, name):
            if why := self.take_over().get(name):
                raise errors.UnknownBundle(f"the bundle {name} was {why}")
            return self.manifest(name, version)
        if row is None:
            raise self._unknown(name, version)
        return Manifest.from_row(name, number, row)

    def current(self) -> list[Manifest]:
        """See ``Bundles.current``."""
        self.take_over()
        states = sorted((name, state.current) for name, state in self._states().items() if state.current)
        with self._redis.pipeline(transaction=False) as pipe:
            for name, version in states:
                pipe.hget(keys.bundle(name), str(version))
            rows = pipe.execute()
        found = [_usable(name, version, row) for (name, version), row in zip(states, rows, strict=True) if row]
        return [manifest for manifest in found if manifest]

    def state(self, name: str) -> State:
        """See ``Bundles.state``."""
        row: Any = self._redis.hget(keys.BUNDLES, name)
        return _state(row or b"")

    def pin(self, name: str, version: int | None) -> None:
        """See ``Bundles.pin``."""
        names = {"bundles": keys.BUNDLES, "bundle": keys.bundle(name), "revision": keys.REVISION}
        if not self._scripts("pin", names, name=name, version=version or 0):
            raise self._unknown(name, version)

    def remove(self, name: str, version: int | None = None) -> list[int]:
        """See ``Bundles.remove``. Who fetches it just now will miss its pieces."""
        rows: Any = self._redis.hgetall(keys.bundle(name))
        wanted = {number: row for number, row in rows.items() if version in (None, _number(number))}
        gone = []
        for number, row in wanted.items():
            scope = _scope(name, row)
            if self._scripts("remove", _keys(name, scope), name=name, version=number, left_s=REMOVED_S):
                gone.append(_number(number))
            if scope:
                self._blobs.drop(scope)
        if not gone:
            raise self._unknown(name, version)
        return sorted(gone)

    def read(self, manifest: Manifest, piece: Ref) -> bytes:
        """See ``Bundles.read``."""
        try:
            return blobs.get_one(self._blobs, manifest.scope, piece)
        except errors.BlobError as error:
            raise type(error)(
                f"{manifest.ref}: {error}; if it stays so, remove that version and push it again"
            ) from None

    def revision(self) -> int:
        """See ``Bundles.revision``."""
        found: Any = self._redis.hget(keys.BUNDLES, REVISION)
        return redis_client.number(found)

    def _take_over(self, name: str) -> str:
        """Take over one bundle; gives why not, or ""."""
        rows: Any = self._redis.hgetall(keys.older_bundle(name))
        scopes = [scope for row in rows.values() if (scope := _scope(name, row))]
        touched = {
            "older_bundles": keys.OLDER_BUNDLES, "older_bundle": keys.older_bundle(name),
            "older_digests": keys.older_bundle_digests(name), "bundles": keys.BUNDLES, "bundle": keys.bundle(name),
            "digests": keys.bundle_digests(name), "revision": keys.REVISION,
        }  # fmt: skip
        moved = [key for scope in scopes for key in (keys.older_blobs(scope), keys.blobs(scope))]
        try:
            how: Any = self._scripts("take_over", touched, name=name, versions=len(rows), blobs=moved)
        except redis.ResponseError as error:
            if isinstance(error, redis_outage.REFUSES):
                raise
            return (
                f"pushed with version {keys.OLDER_VERSION}, and Redis does not let it be taken over ({error}); push it"
                " again, or start Redis again as this version does (`cluster up`, deploy/start-redis.sh)"
            )
        if how == b"done":
            log.info(
                "the bundle %s of version %s is taken over", name, keys.OLDER_VERSION,
                extra={"event": "bundle-taken-over"},
            )  # fmt: skip
        if how == b"twice":
            return f"left with version {keys.OLDER_VERSION}, as this one has a bundle of that name"
        return self._take_over(name) if how == b"changed" else ""

    def _upload(self, given: Content, draft: Manifest, progress: Progress) -> None:
        done = 0
        for _, piece in content.pieces(given, draft.files):
            self._blobs.put(draft.scope, [piece])
            done += len(piece)
            progress(done, draft.size_bytes)

    def _known(self, draft: Manifest, *, again: bool, first: bool) -> Pushed | None:
        """The version that has this content; with ``again`` it counts as pushed last from now on."""
        version, _, current = self._ask_to_enter(draft, b"", again=again, first=first)
        return Pushed(self.manifest(draft.name, version), new=False, current=current) if version else None

    def _enter(self, draft: Manifest, row: bytes, *, again: bool, first: bool) -> Pushed:
        version, new, current = self._ask_to_enter(draft, row, again=again, first=first)
        manifest = draft.model_copy(update={"version": version}) if new else self.manifest(draft.name, version)
        # Asked again after a connection broke, Redis finds what it has entered the first time.
        return Pushed(manifest, manifest.scope == draft.scope, current)

    def _ask_to_enter(self, draft: Manifest, row: bytes, *, again: bool, first: bool) -> list[int]:
        names = _keys(draft.name, draft.scope)
        found: Any = self._scripts(
            "enter", names, name=draft.name, digest=draft.digest, row=row, again=int(again), first=int(first)
        )
        if found[0] < 0:
            raise taken(draft.name)
        return list(found)

    def _states(self) -> dict[str, State]:
        rows: Any = self._redis.hgetall(keys.BUNDLES)
        found = {name.decode(errors="replace"): _state(row) for name, row in rows.items()}
        return {name: state for name, state in found.items() if names.is_model(name)}

    def _unknown(self, name: str, version: int | None = None) -> errors.UnknownBundle:
        found: Any = self._redis.hkeys(keys.bundle(name))
        return unknown(name, version, self.names(), [_number(number) for number in found])


def _keys(name: str, scope: str) -> dict[str, str]:
    return {
        "bundles": keys.BUNDLES, "bundle": keys.bundle(name), "digests": keys.bundle_digests(name),
        "revision": keys.REVISION, "blobs": keys.blobs(scope),
    }  # fmt: skip


def _state(row: bytes) -> State:
    try:
        return State(*redis_rows.numbers(row, 3))
    except ValueError:
        return State()


def _usable(name: str, version: bytes | int, row: bytes) -> Manifest | None:
    try:
        return Manifest.from_row(name, int(version), row)
    except (errors.BadBundle, ValueError) as error:
        log.warning("a bundle is passed over: %s", error, extra={"event": "bundle-unusable"})
        return None


def _number(version: bytes) -> int:
    return int(version) if version.isdigit() else 0


def _scope(name: str, row: bytes) -> str:
    """The scope a row names, also where the rest of it cannot be used; "" if it is none of this bundle's."""
    with suppress(ValueError, RecursionError):
        found = orjson.loads(row)
        scope = found.get("scope") if isinstance(found, dict) else None
        if isinstance(scope, str) and keys.is_bundle_scope(scope, name):
            return scope
    return ""
