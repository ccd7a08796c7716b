"""The page on nets says what the code has."""

from __future__ import annotations

import re

from aggregators import layers, named_nets, nets
from tests.kit.programs import ROOT

PAGE = (ROOT / "docs" / "reference" / "nets.md").read_text()


def test_the_page_has_each_layer_with_its_options() -> None:
    rows = {
        kind: row[1]
        for row in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|.*\|.*\|$", PAGE, re.MULTILINE)
        for kind in re.findall(r"`([a-z0-9]+)`", row[0])
    }
    assert set(rows) == set(layers.OPTIONS)
    for kind, options in layers.OPTIONS.items():
        named = re.findall(r"`([a-z]+)`", rows[kind])
        assert named == ([*options] or (["layers"] if kind == "residual" else [])), kind
        for name, setting in options.items():
            default = str(setting.default).lower().replace("last", '`"last"`')
            assert setting.default is None or f"`{name}` ({default}" in rows[kind], (kind, name)


def test_the_page_has_each_named_net_by_its_example() -> None:
    for one in named_nets.NAMED.values():
        assert f"| `{one.example}`" in PAGE


def test_the_files_on_the_page_are_nets() -> None:
    sequences, pictures = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert nets.resolve(nets.parse(sequences), (50, 8), 4).size == 3 * 64 * (8 + 64 + 2) + 64 * 4 + 4
    assert nets.resolve(nets.parse(pictures), (3, 32, 32), 4).layers[3].gives == (32, 16, 16)


def test_the_page_tells_the_limits_of_the_code() -> None:
    for limit in (
        f"| {nets.MOST_LAYERS} |",
        f"| {layers.MOST_UNITS:,} |",
        f"| {layers.MOST_ROWS:,} |",
        f"| {layers.MOST_KERNEL} |",
        f"weights | {nets.MOST_PARAMETERS:,} |",
        f"at any layer | {nets.MOST_VALUES:,} |",
        f"| {nets.MOST_TEXT_BYTES // 1024} KiB |",
        f"At most {nets.MOST_SIZES} numbers",
    ):
        assert limit in PAGE
