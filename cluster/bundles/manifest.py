"""The manifest of a version of a bundle. Anybody may have written one in Redis: it is validated whole before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Self

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from cluster import errors, keys
from cluster.blobs import Ref
from cluster.bundles import paths, requirements
from cluster.names import DIGEST_CHARS, ModelRef

PIECE_BYTES = 2**20
"""Files travel in pieces of this size, so that no single answer of Redis holds up the others."""
MAX_FILE_BYTES = 2 * 2**30
MAX_BYTES = 4 * MAX_FILE_BYTES
MAX_FILES = 10_000
MAX_REQUIREMENTS = 200
MAX_PARAMETER_BYTES = 256 * 2**10
MAX_ROW_BYTES = 4 * 2**20
"""A manifest as JSON; one of ``MAX_BYTES`` in a few files has 0.6 MiB."""
MAX_VERSION = 2**31

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Pieces = Annotated[tuple[Sha256, ...], Field(max_length=-(-MAX_FILE_BYTES // PIECE_BYTES))]
ShortText = Annotated[str, StringConstraints(max_length=200)]
Line = Annotated[str, StringConstraints(max_length=4000)]


class File(BaseModel):
    """A file of a bundle."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Below the bundle's folder, with ``/`` on every system; see ``paths.problem``."""
    sha256: Sha256
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)
    pieces: Pieces
    """The sha256 of each ``PIECE_BYTES`` of it, the last one shorter."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problem := paths.problem(self.path):
            raise ValueError(f"the path {self.path!r} {problem}")
        if len(self.pieces) != -(-self.size_bytes // PIECE_BYTES):
            raise ValueError(f"{self.path} has {self.size_bytes} bytes and {len(self.pieces)} pieces")
        return self

    def refs(self) -> Iterator[Ref]:
        """The addresses of its pieces, in order."""
        for number, sha256 in enumerate(self.pieces):
            yield Ref(sha256, min(PIECE_BYTES, self.size_bytes - number * PIECE_BYTES))


class Manifest(BaseModel):
    """One version of a bundle. ``digest`` depends on the content alone, not on name, time or author."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int = Field(ge=1, le=MAX_VERSION)
    job: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    files: Annotated[tuple[File, ...], Field(min_length=1, max_length=MAX_FILES)]
    requirements: Annotated[tuple[Line, ...], Field(max_length=MAX_REQUIREMENTS)] = ()
    """Lines such as ``numpy==1.26.4 --hash=sha256:…``."""
    parameters: dict[str, Any] = {}
    created: AwareDatetime
    by: ShortText
    digest: Sha256
    scope: str = ""
    """Where the pieces lie in the cluster's blob store; empty in a folder of this machine."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_name(self.name)
        if problem := paths.clash(file.path for file in self.files):
            raise ValueError(problem)
        if self.size_bytes > MAX_BYTES:
            raise ValueError(f"its files have {self.size_bytes:,} bytes together; the limit is {MAX_BYTES:,}")
        for line in self.requirements:  # printed, and handed to pip, as they are
            if requirements.plain(line) != line or not line.isprintable():
                raise ValueError(f"the requirement {line!r} is not in its plain form")
        if parameters(self.parameters) != self.parameters:
            raise ValueError("its parameters are not plain JSON")
        if self.scope and not keys.is_bundle_scope(self.scope, self.name):
            raise ValueError(f"its scope is {self.scope!r}")
        if digest(self.job, self.files, self.requirements, self.parameters) != self.digest:
            raise ValueError("its digest is not that of its content")
        if not self.by.isprintable():
            raise ValueError("`by` holds control characters")
        return self

    @property
    def ref(self) -> str:
        """How people see this version: ``office:3``."""
        return str(ModelRef(self.name, self.version))

    @property
    def reference(self) -> str:
        """How a run names it, for good: ``office:3.1a2b3c4d``."""
        return str(ModelRef(self.name, self.version, self.digest[:DIGEST_CHARS]))

    @property
    def size_bytes(self) -> int:
        """The size of all files together, in bytes."""
        return sum(file.size_bytes for file in self.files)

    @property
    def description(self) -> bytes:
        """The ``bundle.json`` of its folder, on every machine the same bytes."""
        found = {"job": self.job, "parameters": self.parameters, "requirements": self.requirements}
        return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)

    def row(self) -> bytes:
        """Pack the manifest for a store, which keeps name and version beside it.

        Raises:
            errors.BadBundle: It is too long.
        """
        row = self.model_dump_json(exclude={"name", "version"}).encode()
        if len(row) > MAX_ROW_BYTES:
            raise errors.BadBundle(f"the manifest of {self.name} has {len(row):,} bytes; push fewer files")
        return row

    @classmethod
    def from_row(cls, name: str, version: int, row: bytes) -> Manifest:
        """Back from a store.

        Raises:
            errors.BadBundle: It is not what ``row`` gives.
        """
        try:
            if len(row) > MAX_ROW_BYTES:
                raise ValueError(f"it has {len(row):,} bytes; the limit is {MAX_ROW_BYTES:,}")
            found = orjson.loads(row)
            if not isinstance(found, dict):
                raise TypeError("it is no object")
            return cls.model_validate({**found, "name": name, "version": version})
        except (ValueError, TypeError, RecursionError, errors.UsageError) as error:
            raise errors.BadBundle(f"the manifest of {ModelRef(name, version)} cannot be used: {why(error)}") from None


def check_name(name: str) -> None:
    """Raise ``errors.UsageError`` unless a bundle may have this name."""
    if ModelRef.parse(name).version is not None:
        raise errors.UsageError(f"the bundle {name!r}: a version is given by the store; push to a name alone")


def digest(job: str, files: Iterable[File], required: Iterable[str], parameters: dict[str, Any]) -> str:
    """The sha256 of a content in its one canonical form."""
    content = {
        "job": job,
        "files": sorted([file.path, file.sha256] for file in files),
        "requirements": sorted(required),
        "parameters": parameters,
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def parameters(given: Any) -> dict[str, Any]:
    """Parameters as they come back from JSON.

    Raises:
        errors.BadBundle: They are no object, are too many, or hold what JSON does not carry (NaN, bytes, arrays).
    """
    if not isinstance(given, dict):
        raise errors.BadBundle(f"the parameters of a bundle must be an object, not {type(given).__name__}")
    try:
        text = json.dumps(given, allow_nan=False)
        found: dict[str, Any] = orjson.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.BadBundle(f"the parameters of a bundle must be plain JSON: {error}") from None
    if len(text) > MAX_PARAMETER_BYTES:
        raise errors.BadBundle(f"the parameters have {len(text):,} bytes; the limit is {MAX_PARAMETER_BYTES:,}")
    return found


def why(error: Exception) -> str:
    """The first thing that is wrong, in words."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    return str(error)
