"""The options of a training before it begins: as they stand in its run, and what they come to.

Imports neither NumPy nor safetensors before a function is called.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aggregators import layer_groups, nets

MOST_FILE_BYTES = nets.MOST_TEXT_BYTES
"""Of a file whose text becomes an option."""
PATHS = ("test_file",)
"""Options that name files of the machine that submits. Another folder may be the current one when it reads them."""


def why_unavailable() -> str:
    """Say why this machine cannot submit or coordinate a training, or ""; imports no library to find out."""
    for name in ("numpy", "safetensors"):
        if importlib.util.find_spec(name) is None:
            return f'{name} is not installed (pip install "cluster[tables]")'
    return ""


def prepare(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run for those that were given: with the texts of files, and the defaults of its mode.

    Args:
        given: ``net`` may be the path of a ``model.toml``, ``joint`` that of a plan of layer groups.

    Raises:
        OSError: A file cannot be read.
        ValueError: Options cannot be used, or do not go together; says which, and what to do.
    """
    from aggregators.training import settings

    options = dict(given)
    if "net" in options:
        options["net"] = _net(options["net"])
    if options.get("joint", layer_groups.AUTO) != layer_groups.AUTO:
        options["joint"] = _text(options["joint"])
    for name in PATHS:
        if options.get(name):
            options[name] = str(Path(options[name]).resolve(strict=True))
    for name in ("bits", "down_bits"):
        if options.get(name, 8) not in layer_groups.BITS:
            raise ValueError(f"--{name.replace('_', '-')} is {options[name]}; it must be 2 to 8, 16 or 32")
    if "test" in given and options.get("test_file"):
        raise ValueError("--test and --test-file cannot go together; give one of them")
    return settings.complete(options)


def plan(
    about: bytes, *, net: str = "mlp:128,128", bits: int = 4, down_bits: int = 8, joint: str = "auto",
    server: str = "auto", server_lr: float | None = None, server_momentum: float | None = None, steps: int = 0,
    batch_size: int = 32,
) -> str:  # fmt: skip
    """Return what a training would do: its data, its net, and its layer groups, as TOML that ``--joint`` reads.

    All but the groups are comments of TOML.

    Raises:
        ValueError: The net or the plan of groups does not fit the data.
    """
    from aggregators import codec
    from aggregators.training import settings, views

    card = json.loads(about)
    _, why = settings.choose_server(server, server_lr, server_momentum, steps, batch_size, card["shard_rows"])
    resolved = nets.resolve(nets.parse(net), card["input_shape"], card["outputs"])
    groups = layer_groups.chosen(joint, resolved.parameters, bits)
    sizes = codec.sizes_bytes(groups)
    told = [
        *_data(card, why), "", resolved.table(), "", layer_groups.table(groups, sizes), "",
        f"A round takes {sum(sizes):,} bytes up from each of {card['shards']} shards where it is quantized, and"
        f" {views.size_bytes(resolved.size, down_bits):,} bytes down to it. A step of synchronous training in float32"
        f" takes {4 * resolved.size:,} up and as many down.",
    ]  # fmt: skip
    comments = [f"# {line}".rstrip() for part in told for line in part.split("\n")]
    return "\n".join([*comments, "", layer_groups.to_toml(groups).rstrip()])


def _data(card: Mapping[str, Any], *more: str) -> list[str]:
    rows = card["rows"]
    classes = f"{len(card['classes'])} classes" if card["classes"] else "a number"
    shape = "x".join(map(str, card["input_shape"]))
    return [
        f"{rows['train']:,} training rows in {card['shards']} shards, {rows['valid']:,} for validation,"
        f" {rows['test']:,} for the test.",
        f"A row has {shape} numbers; {card['target'] or 'the folder of a picture'} is {classes}.",
        *(f"Note: {note}." for note in (*card["notes"], *more) if note),
    ]


def _net(text: str) -> str:
    """A named net, or the text of a file of layers."""
    if "\n" not in text and (text.endswith(".toml") or Path(text).is_file()):
        text = _text(text)
    nets.parse(text)
    return text


def _text(path: str) -> str:
    """The text in a file; a text of several lines is one already."""
    if "\n" in path:
        return path
    with Path(path).open("rb") as opened:
        data = opened.read(MOST_FILE_BYTES + 1)
    if len(data) > MOST_FILE_BYTES:
        raise ValueError(f"{path} has more than {MOST_FILE_BYTES:,} bytes: is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
