"""Tells files that are data from those that would run when they are read: pickles above all, and programs.

Checks a file's content, not only its name: pickles come as ``.pt``, within ``.npz`` and ``.zip``, compressed. This
keeps mistakes out, and the files of the usual tools. A task that reads bundles must still read data only
(``numpy.load(allow_pickle=False)``), for no such check is complete.
"""

from __future__ import annotations

import ast
import bz2
import io
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Any, cast

PICKLES = frozenset({".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth", ".dill", ".cloudpickle", ".skops"})
PROGRAMS = frozenset(
    {".py", ".pyc", ".pyo", ".pyd", ".pyx", ".so", ".dll", ".dylib", ".exe", ".com", ".msi", ".jar", ".class"}
    | {".sh", ".bash", ".bat", ".cmd", ".ps1", ".js", ".vbs", ".whl", ".egg"}
)
PREFIX_BYTES = 64 * 2**10
MOST_PACKED_BYTES = 2 * 2**20
"""Compression by blocks gives nothing before a whole block is read; those of bzip2 have 0.9 MB."""
UNKNOWN_BYTES = 2**40
MOST_SCHEMA_BYTES = 64 * 2**20
MOST_PROTOCOL = 10
ENOUGH_OPCODES = 8
"""Opcodes in a row from which on data is taken for a pickle, where the first one is a pickle's header."""
MOST_MEMBERS = 10_000
MOST_GROWN = 20
"""How many times larger than an archive what it holds may be, from ``ENOUGH_BYTES`` on."""
ENOUGH_BYTES = 64 * 2**20
MARKS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
"""Every pickle that is more than a number or text has one of these."""
Opcodes = Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]
DATA = "; files of a bundle are data only (npz, JSON, XML, ONNX, text)"
IS_PICKLE = f"is a pickle, which runs code when it is read{DATA}"


def problem(name: str, stream: IO[bytes], size_bytes: int, *, inner: bool = False) -> str:
    """Why a file may not be in a bundle, or "".

    Args:
        name: By which it goes.
        stream: Its bytes from the beginning. One that is not ``inner`` must seek.
        size_bytes: How many there are.
        inner: It is the member of an archive; archives in archives are refused.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in PICKLES:
        return f"is named as a pickle, which runs code when it is read{DATA}"
    if suffix in PROGRAMS or re.search(r"\.so(\.\d+)+\Z", name.lower()):
        return f"is named as a program{DATA}"
    prefix = stream.read(PREFIX_BYTES)
    if _is_program(prefix):
        return f"is a program{DATA}"
    if prefix.startswith(b"\x93NUMPY"):
        return _npy_problem(prefix)
    if prefix[257:262] == b"ustar":
        return f"is an archive; push the files in it{DATA}"
    if not inner and zipfile.is_zipfile(stream):
        return _zip_problem(stream, size_bytes)
    if prefix.startswith(b"PK\x03\x04"):
        return f"is an archive that cannot be looked into{DATA}"
    if _is_pickle(prefix, size_bytes):
        return IS_PICKLE
    if not inner:
        stream.seek(len(prefix))
    unpacked = _unpacked(prefix, stream)
    if unpacked[257:262] == b"ustar":
        return f"is an archive; push the files in it{DATA}"
    if _is_pickle(unpacked, len(unpacked) if len(unpacked) < PREFIX_BYTES else UNKNOWN_BYTES):
        return f"is a compressed pickle, which runs code when it is read{DATA}"
    return ""


class _Long(Exception):
    """More is read at a time than is looked at."""


class _Beginning:
    """The beginning of a file as ``pickletools`` reads it: that there is a long argument is enough."""

    def __init__(self, prefix: bytes, size_bytes: int) -> None:
        self._prefix = io.BytesIO(prefix)
        self._left = size_bytes

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes.

        Raises:
            _Long: The file has these bytes, but the prefix that is looked at ends before them.
        """
        found = self._prefix.read(count)
        self._left -= len(found)
        if len(found) < count <= len(found) + self._left:
            raise _Long
        return found

    def readline(self) -> bytes:
        """A line.

        Raises:
            _Long: It ends beyond what is looked at.
        """
        found = self._prefix.readline()
        self._left -= len(found)
        if self._left and not found.endswith(b"\n"):
            raise _Long
        return found

    def only_space_left(self) -> bool:
        """Whether nothing else follows."""
        rest = self._prefix.read()
        return not rest.strip() and self._left == len(rest)


def _is_pickle(prefix: bytes, size_bytes: int) -> bool:
    """Whether the bytes are a pickle's opcodes.

    Those since protocol 2 begin with a header; after it, some opcodes without a mistake are enough, for arrays may
    stand between the opcodes. Older ones begin with any opcode: they must be right from the first byte to the last,
    or as far as is looked.
    """
    stream = _Beginning(prefix, size_bytes)
    count, headed, marked = 0, False, False
    try:
        for opcode, argument, _ in cast(Opcodes, pickletools.genops(stream)):  # type: ignore[arg-type]
            if count == 0:
                headed = opcode.name == "PROTO"
                if opcode.stack_before or (headed and argument > MOST_PROTOCOL):
                    return False
            count += 1
            marked |= opcode.name in MARKS
            if headed and count > ENOUGH_OPCODES:
                return True
    except _Long:
        return headed or marked
    except Exception:  # noqa: BLE001 - whatever it stumbles over: these are no opcodes
        return False
    return (headed and marked) or ((headed or marked) and stream.only_space_left())


def _is_program(prefix: bytes) -> bool:
    if prefix.startswith((b"\x7fELF", b"#!", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe")):
        return True
    if prefix.startswith((b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")):
        return True
    at = int.from_bytes(prefix[0x3C:0x40], "little")
    return prefix.startswith(b"MZ") and prefix[at : at + 4] == b"PE\0\0"


def _npy_problem(prefix: bytes) -> str:
    """Return why a NumPy array is no data, or ""; an array of objects is a pickle behind a header."""
    start, width = (10, 2) if prefix[6:7] == b"\1" else (12, 4)
    length = int.from_bytes(prefix[8 : 8 + width], "little")
    try:
        if length > PREFIX_BYTES - start:
            raise ValueError
        header: Any = ast.literal_eval(prefix[start : start + length].decode("utf-8"))
        kinds = list(_kinds(header["descr"]))
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        return "is an array of NumPy's whose header cannot be read"
    if any(kind.lstrip("<>|=!").startswith("O") for kind in kinds):
        return f"holds an array of objects, which is a pickle{DATA}"
    return ""


def _kinds(description: Any) -> list[str]:
    """The types in a ``descr``: ``"<f4"``, or ``[("name", "<f4"), ("other", [...], (3,))]``."""
    if isinstance(description, str):
        return [description]
    if isinstance(description, tuple):  # a type and its shape
        return _kinds(description[0])
    return [kind for field in description for kind in _kinds(field[1])]


def _zip_problem(stream: IO[bytes], size_bytes: int) -> str:
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                return f"is an archive of {len(members):,} members; the limit is {MOST_MEMBERS:,}"
            # Readers take as much of a member as it says it has, however many share the same bytes.
            unpacked_bytes = sum(member.file_size for member in members)
            if unpacked_bytes > max(ENOUGH_BYTES, MOST_GROWN * size_bytes):
                return (
                    f"is an archive of {size_bytes:,} bytes that unpacks to {unpacked_bytes:,}, more than {MOST_GROWN}"
                    " times as many; save it without compression"
                )
            for member in members:
                if member.is_dir():
                    continue
                if PurePosixPath(member.filename).name == "data.pkl":
                    return f"is a model of PyTorch's, with a pickle in it{DATA}"
                if PurePosixPath(member.filename).name == "schema.json" and _names_loaders(archive, member):
                    return f"is a model of skops's, which runs code when it is read{DATA}"
                with archive.open(member) as content:
                    found = problem(member.filename, content, member.file_size, inner=True)
                if found:
                    return f"has the member {member.filename!r}, which {found}"
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error) as error:
        return f"is an archive that cannot be looked into ({error}){DATA}"
    return ""


def _names_loaders(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a member is a schema as skops writes it: each value names the class and the loader that make it."""
    with archive.open(member) as content:
        schema = content.read(MOST_SCHEMA_BYTES + 1)
    if len(schema) > MOST_SCHEMA_BYTES:
        return True
    text = schema.replace(b"\0", b"")  # JSON may be UTF-16 or UTF-32, and any letter of a key escaped
    return b"__loader__" in re.sub(rb"\\u00([0-7][0-9a-fA-F])", lambda code: bytes.fromhex(code[1].decode()), text)


def _unpacked(prefix: bytes, rest: IO[bytes]) -> bytes:
    """The first ``PREFIX_BYTES`` of what is compressed here, or fewer; nothing where nothing is."""
    unpack: Callable[[bytes, int], bytes]
    if prefix.startswith(b"\x1f\x8b") or prefix[:1] == b"\x78":
        unpack = zlib.decompressobj(wbits=47).decompress
    elif prefix.startswith(b"BZh"):
        unpack = bz2.BZ2Decompressor().decompress
    elif prefix.startswith((b"\xfd7zXZ", b"\x5d\0\0")):
        unpack = lzma.LZMADecompressor().decompress
    else:
        return b""
    found, packed, read = b"", prefix, 0
    with suppress(zlib.error, OSError, lzma.LZMAError, EOFError):  # it was none, or ended
        while packed and read < MOST_PACKED_BYTES and len(found) < PREFIX_BYTES:
            found += unpack(packed, PREFIX_BYTES - len(found))
            read += len(packed)
            packed = rest.read(PREFIX_BYTES)
    return found
