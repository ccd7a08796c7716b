"""The generated pages of docs/reference: ``make docs`` writes them, ``tests/unit/test_papers.py`` compares them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import click

import cluster
from cluster import catalog, cli, errors, keys, settings
from cluster.option import Option
from tests.kit.programs import ROOT

FOLDER = ROOT / "docs" / "reference"
SHARED = {"--broker", "--broker-file", "--log-format", "--help"}
"""Options that many commands have: the page describes them once."""
NOTE = "<!-- Written by `make docs`. Do not edit: change the code instead. -->\n"
MiB, GiB = 2**20, 2**30


def commands() -> str:
    """The page of all commands, from what `--help` says."""
    root = click.Context(cli.commands, info_name="cluster", **cli.commands.context_settings)
    text = [NOTE, "# Commands\n", "Data goes to stdout, progress and logs go to stderr. [Exit codes](exit-codes.md).\n"]
    text += ["| command | does |", "| --- | --- |"]
    text += [f"| [`cluster {name}`](#cluster-{name}) | {_cell(cli.SUMMARIES[name])} |" for name in cli.COMMANDS]
    text += ["", "Most commands also have these options:\n", *_table("option", _shared(root))]
    for name in cli.COMMANDS:
        command = cli.commands.get_command(root, name)
        assert command is not None
        text += _command(command, click.Context(command, parent=root, info_name=name))
    text += ["", "## Options of the jobs", "\nThey follow `cluster submit --job NAME`."]
    for job in catalog.BUILT_IN:
        text += ["", f"### {job.name}\n", f"{_sentence(job.about)} Formats: {', '.join(job.format_names)}.\n"]
        text += _table("option", [(one.flag, _job_help(one)) for one in (*job.options, job.chunk_size)])
    return _joined(text)


def _joined(lines: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield f"\n## `{ctx.command_path}`\n"
    yield f"    {' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}\n"
    yield from (f"{part}\n" for part in _paragraphs(command.help or ""))
    own = _records(ctx, (one for one in command.get_params(ctx) if not SHARED.intersection(one.opts)))
    if isinstance(command, click.Group):
        if own:
            yield from (*_table("option", own), "")
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, parent=ctx, info_name=name))
        return
    if own:
        yield from (*_table("option", own), "")
    yield from (f"{part}\n" for part in _paragraphs(command.epilog or ""))


def _shared(root: click.Context) -> list[tuple[str, str]]:
    command = cli.commands.get_command(root, "status")
    assert command is not None
    ctx = click.Context(command, parent=root, info_name="status")
    return _records(ctx, (one for one in command.get_params(ctx) if SHARED.intersection(one.opts)))


def _records(ctx: click.Context, parameters: Iterable[click.Parameter]) -> list[tuple[str, str]]:
    found = (one.get_help_record(ctx) for one in parameters if isinstance(one, click.Option))
    return [record for record in found if record]


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs in one line each; those that click leaves as they are (``\\b``) become indented code."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\f", "")):
        if part.startswith("\b\n"):
            title, *lines = part.removeprefix("\b\n").split("\n")
            if lines and all(line.startswith("  ") for line in lines):
                yield title
                yield "\n".join(f"    {line.strip()}" for line in lines)
                continue
            part = part.removeprefix("\b\n")
        if part.strip():
            yield " ".join(part.split())


def _job_help(option: Option) -> str:
    default = "" if option.default is None else f"; default {option.default}"
    return f"{option.help}{'; required' if option.required else default}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


READERS = {reader.name: reader.value for reader in settings.Reader}


def settings_page() -> str:
    """The page of all settings, from the class and the strings beneath its fields."""
    text = [NOTE, "# Settings\n"]
    text.append(
        "Set a variable (`CLUSTER_SLOTS=2`), or write a line into `~/.config/cluster/config.toml` (`slots = 2`). "
        "`CLUSTER_CONFIG` names another file. A variable wins over the file, an option of a command over both. "
        "A name that is nearly a setting is refused; other unknown `CLUSTER_…` variables are ignored with a warning.\n"
    )
    text.append("The column *for* says which program reads a setting:\n")
    text += [f"- *{READERS[name]}*: {meaning}" for name, meaning in _described(settings.Reader)]
    text.append("")
    text += ["| variable | for | form | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, meaning in _described(settings.Settings):
        field = settings.Settings.model_fields[name]
        form = _form(field.annotation, field.metadata)
        cells = (f"`CLUSTER_{name.upper()}`", settings.reader(name).value, form, _value(name, field.default), meaning)
        text.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    text += ["", "An old name is refused:\n", "| old | new |", "| --- | --- |"]
    text += [f"| `CLUSTER_{old.upper()}` | `CLUSTER_{new.upper()}` |" for old, new in settings.RENAMED.items()]
    return _joined(text)


def _described(kind: type) -> Iterator[tuple[str, str]]:
    """Each field with the string beneath it."""
    [body] = [node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)]
    for field, below in itertools.pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                yield name, " ".join(text.replace("``", "`").split())
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str() as text)):
                yield name, " ".join(text.replace("``", "`").split())
            case _:
                continue


def _form(annotation: Any, metadata: Iterable[Any]) -> str:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    [kind] = [kind for kind in kinds if kind is not type(None)]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    form = {bool: "`true`, `false`", int: "whole number", float: "number", Path: "path"}.get(kind, "text")
    for limit in metadata:
        for sign, words in (("ge", "from {}"), ("gt", "over {}"), ("le", "to {}")):
            if (bound := getattr(limit, sign, None)) is not None:
                form += f", {words.format(f'{bound:,}')}"
    return form


def _value(name: str, default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{default}`".lower()
    if name.endswith("_bytes") and isinstance(default, int):
        for unit, word in ((GiB, "GiB"), (MiB, "MiB"), (1024, "KiB")):
            if default and default % unit == 0:
                return f"{default} ({default // unit} {word})"
    return f"`{default}`" if isinstance(default, str | Path) else f"{default:g}" if default == 0 else f"{default}"


def redis_keys() -> str:
    """The page of Redis keys: what the module that makes them says."""
    text = inspect.cleandoc(keys.__doc__ or "").replace("``", "`")
    head, _, rest = text.partition("\n")
    return f"{NOTE}\n# Redis keys\n\n{head}\n{rest}\n"


API: dict[str, tuple[str, ...]] = {
    "connect": (),
    "local": (),
    "simulate": (),
    "Client": (
        "submit", "resume", "run", "runs", "nodes", "pause_nodes", "go_on_nodes", "models", "serve",
        "service", "services", "gateway", "tokens",
        "close",
    ),
    "Run": (
        "watch", "wait", "curve", "watch_curve", "result", "parts", "write", "status", "events", "failures", "draw",
        "cancel",
    ),
    "Job": ("run_locally",),
    "Option": (),
    "Format": (),
}  # fmt: skip
"""What the page of the Python API describes: what `import cluster` gives, and its methods."""


def python_api() -> str:
    """The page of the Python API, from its docstrings."""
    text = [NOTE, "# Python API\n", "How to use it: [from Python](../howto/from-python.md).\n"]
    for name, members in API.items():
        thing = getattr(cluster, name)
        text += [f"## `cluster.{name}`\n", *_described_in(thing)]
        if isinstance(thing, type) and dataclasses.is_dataclass(thing):
            text += ["Fields:\n", *(f"- `{field}`: {meaning}" for field, meaning in _described(thing)), ""]
        for member in members:
            text += [f"### `{name}.{member}`\n", *_described_in(inspect.getattr_static(thing, member))]
    text += ["## Errors\n", "All errors are in `cluster.errors`; `exit_code` is that of the command line.\n"]
    tree = re.search(r"(?:^    .*\n)+", errors.__doc__ or "", re.MULTILINE)
    return _joined([*text, tree[0] if tree else ""])


def _described_in(thing: Any) -> Iterator[str]:
    """The call, and what the docstring says: Google's sections become lists."""
    function: Any = thing.fget if isinstance(thing, property) else thing
    if not isinstance(thing, type | property):
        yield f"    {function.__name__}({', '.join(_arguments(function))})\n"
    section = ""
    for line in inspect.cleandoc(function.__doc__ or "").replace("``", "`").split("\n"):
        entry = re.fullmatch(r"    ([\w.*]+(?:, [\w.]+)*): (.*)", line)
        if line in ("Args:", "Returns:", "Raises:", "Yields:"):
            section = line
            yield f"\n{line}\n"
        elif section in ("Args:", "Raises:") and entry:
            yield f"- `{entry[1]}`: {entry[2]}"
        else:
            yield f"  {line.strip()}".rstrip() if section else line
    yield ""


def _arguments(function: Any) -> Iterator[str]:
    """As in the call, without types."""
    keyword = False
    for one in inspect.signature(function).parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not keyword:
            keyword = True
            yield "*"
        star = "**" if one.kind is one.VAR_KEYWORD else "*" if one.kind is one.VAR_POSITIONAL else ""
        default = "" if one.default is one.empty else "=..." if callable(one.default) else f"={one.default!r}"
        yield f"{star}{one.name.rstrip('_')}{default}"


def _table(head: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"| {head} | meaning |", "| --- | --- |"]
    return lines + [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "settings.md": settings_page,
    "redis-keys.md": redis_keys,
    "python-api.md": python_api,
}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
