"""Layer groups: which parameters of a net are encoded together, and with how many bits a value."""

from __future__ import annotations

import fnmatch
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

BITS = (*range(2, 9), 16, 32)
"""Bits a value: 2 to 8 are quantized, 16 and 32 are float16 and float32."""
EXACT_KINDS = ("norm", "bias")
"""Kinds of parameters that are few and matter much: float16."""
MOST_BYTES = 2**20
"""A group by ``plan`` has at most this many bytes of float32, if it has two parameters or more."""
MOST_GROUPS = 10_000
AUTO = "auto"


class Parameter(Protocol):
    """One array of a net."""

    @property
    def name(self) -> str:
        """Unique in the net."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As the net has it."""

    @property
    def kind(self) -> str:
        """What it is for: "linear", "conv", "norm", "bias", say."""


class BadPlan(ValueError):
    """The plan does not fit the net, or cannot be read."""


class Group(NamedTuple):
    """Parameters that are encoded together."""

    name: str
    spans: tuple[tuple[int, int], ...]
    """Where its values stand in the flat vector of all parameters: (first, behind the last), in order."""
    bits: int
    """One of ``BITS``."""
    layers: tuple[str, ...] = ()
    """The names of its parameters."""

    @property
    def size(self) -> int:
        """How many values it has."""
        return sum(stop - start for start, stop in self.spans)


def plan(parameters: Iterable[Parameter], bits: int) -> tuple[Group, ...]:
    """Join each parameter with the next ones of its kind, up to ``MOST_BYTES``.

    Args:
        parameters: In the order of the flat vector.
        bits: Bits a value; those of the kinds ``EXACT_KINDS`` have 16, unless ``bits`` is 32.
    """
    spans = _spans(parameters)
    members: dict[str, list[list[str]]] = {}
    for name, (start, stop, kind) in spans.items():
        rows = members.setdefault("norm+bias" if kind in EXACT_KINDS else kind, [[]])
        held = sum(spans[other][1] - spans[other][0] for other in rows[-1])
        if rows[-1] and 4 * (held + stop - start) > MOST_BYTES:
            rows.append([])
        rows[-1].append(name)
    groups = []
    for kind, rows in members.items():
        own_bits = max(bits, 16) if kind == "norm+bias" else bits
        for number, layers in enumerate(rows, 1):
            groups.append(_group(kind if len(rows) == 1 else f"{kind}-{number}", layers, own_bits, spans))
    return tuple(groups)


def parse(text: str, parameters: Iterable[Parameter], bits: int) -> tuple[Group, ...]:
    """Read a plan as ``to_toml`` writes it.

    Args:
        text: TOML: a ``[[group]]`` each, with ``name``, ``layers`` (names of parameters, or patterns as ``conv*``) and
            ``bits``, which may be left out.
        parameters: In the order of the flat vector. The first group that names one has it.
        bits: Of groups that do not say.

    Raises:
        BadPlan: With what to change.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPlan(f"the plan is no TOML: {error}") from None
    rows = table.pop("group", None)
    if table or not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BadPlan("a plan consists of tables [[group]] and nothing else; `--plan` prints one to begin with")
    if len(rows) > MOST_GROUPS:
        raise BadPlan(f"the plan has {len(rows):,} groups; it may have {MOST_GROUPS:,}")
    spans = _spans(parameters)
    free, groups = dict.fromkeys(spans), []
    for number, row in enumerate(rows, 1):
        name, patterns, own_bits = _read_row(row, number, bits)
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(layer, pattern) for layer in spans):
                raise BadPlan(f"group {name}: the net has no layer {pattern!r} (it has: {', '.join(spans)})")
        layers = [layer for layer in free if any(fnmatch.fnmatchcase(layer, pattern) for pattern in patterns)]
        if not layers:
            raise BadPlan(f"group {name} is empty: groups before it have its layers")
        for layer in layers:
            del free[layer]
        groups.append(_group(name, layers, own_bits, spans))
    if free:
        raise BadPlan(f"the plan leaves out {', '.join(free)}; add them to a group")
    if len({group.name for group in groups}) < len(groups):
        raise BadPlan("two groups have the same name")
    return tuple(groups)


def to_toml(groups: Sequence[Group]) -> str:
    """Write the plan for ``parse``."""
    rows = []
    for group in groups:
        layers = ", ".join(_quoted(layer) for layer in group.layers)
        rows.append(f"[[group]]\nname = {_quoted(group.name)}\nlayers = [{layers}]\nbits = {group.bits}\n")
    return "\n".join(rows)


def chosen(joint: str, parameters: Iterable[Parameter], bits: int) -> tuple[Group, ...]:
    """The groups of ``plan`` where ``joint`` is ``AUTO``, else those of the plan that it is.

    Raises:
        BadPlan: See ``parse``.
    """
    return plan(parameters, bits) if joint == AUTO else parse(joint, parameters, bits)


def exact(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The same groups in float32."""
    return tuple(group._replace(bits=32) for group in groups)


def is_quantized(round_: int, rounds: int, share: float, when: str) -> bool:
    """Whether the changes of a round are quantized; else they travel in float32, see ``exact``.

    Args:
        round_: Counted from 0.
        rounds: How many are planned.
        share: Percent of the rounds that are quantized, 0 to 100.
        when: "spread" spreads these evenly over the rounds; with "first" they come before all others.
    """
    if when == "first":
        return round_ < share * rounds / 100
    return math.floor((round_ + 1) * share / 100) > math.floor(round_ * share / 100)


def table(groups: Sequence[Group], sizes_bytes: Sequence[int]) -> str:
    """Lines for a person: each group with its values, bits, and size in bytes when encoded."""
    head = ("group", "values", "bits", "bytes", "layers")
    rows = [
        (group.name, f"{group.size:,}", str(group.bits), f"{size:,}", ", ".join(group.layers))
        for group, size in zip(groups, sizes_bytes, strict=True)
    ]
    values, total = sum(group.size for group in groups), sum(sizes_bytes)
    rows.append(("all", f"{values:,}", f"{8 * total / max(values, 1):.2f}", f"{total:,}", ""))
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(4)]
    lines = []
    for name, *numbers, layers in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join((name.ljust(widths[0]), *cells, layers)).rstrip())
    return "\n".join(lines)


def _spans(parameters: Iterable[Parameter]) -> dict[str, tuple[int, int, str]]:
    """Name -> first value, behind the last one, kind."""
    spans, at = {}, 0
    for parameter in parameters:
        size = 1
        for side in parameter.shape:
            size *= side
        spans[parameter.name] = (at, at + size, parameter.kind)
        at += size
    return spans


def _group(name: str, layers: Sequence[str], bits: int, spans: Mapping[str, tuple[int, int, str]]) -> Group:
    joined: list[tuple[int, int]] = []
    for start, stop, _ in (spans[layer] for layer in layers):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return Group(name, tuple(joined), bits, tuple(layers))


def _read_row(row: Mapping[str, Any], number: int, default_bits: int) -> tuple[str, list[str], int]:
    name, layers, bits = row.get("name", f"group {number}"), row.get("layers"), row.get("bits", default_bits)
    if unknown := row.keys() - {"name", "layers", "bits"}:
        raise BadPlan(f"group {number} has {sorted(unknown)[0]!r}; a group has name, layers and bits")
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise BadPlan(f"the name of group {number} is {name!r}; it must be a text of one line")
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, str) for layer in layers):
        raise BadPlan(f"group {name} needs layers: a list of names of the net's parameters")
    if type(bits) is not int or bits not in BITS:
        raise BadPlan(f"group {name} has bits = {bits!r}; it must be 2 to 8, 16 or 32")
    return name, layers, bits


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
