"""Lua scripts are called by the names that their heads give."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cluster import scripts
from cluster.scripts import Scripts

PACKAGES = ("cluster.ledger", "cluster.nodes", "cluster.bundles")
EACH = [(package, name) for package in PACKAGES for name in scripts.every(package)]
KEYS = {"run": "r", "events": "e", "outbox": "o", "queued": "q"}
STOP = {"state": "cancelled", "error": "why", "fence": ""}


class Recorder:
    """A client, and its pipeline, that remember what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def register_script(self, text: str) -> Any:
        return lambda keys, args: self.sent.append((text, keys, args))

    def pipeline(self, *, transaction: bool) -> Recorder:
        return self

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def script_load(self, text: str) -> None:
        self.sent.append(text)

    def execute(self) -> None:
        self.sent.append("execute")


@pytest.fixture
def client() -> Recorder:
    return Recorder()


def runs(client: Any) -> Scripts:
    return Scripts(client, "cluster.ledger")


def test_a_call_gives_its_values_in_the_order_of_the_head(client: Recorder) -> None:
    takes = scripts.read("cluster.ledger", "stop")
    runs(client)("stop", dict(reversed(KEYS.items())), **dict(reversed(STOP.items())))
    [(_, keys, values)] = client.sent
    assert keys == [KEYS[name] for name in takes.keys]
    assert values == [STOP[name] for name in takes.arguments]


def test_the_list_comes_after_all_other_arguments(client: Recorder) -> None:
    given = {
        "fence": "1 me",
        "why": "lost",
        "event": "redelivered",
        "units": ["3", "partial 0:1"],
    }
    takes = scripts.read("cluster.ledger", "redeliver")
    runs(client)("redeliver", dict.fromkeys(takes.keys, "k"), **given)
    assert client.sent[0][2][-2:] == ["3", "partial 0:1"]
    assert f"local FIRST = {len(takes.arguments) + 1}\n" in client.sent[0][0]


@pytest.mark.parametrize(
    ("keys", "arguments", "said"),
    [
        (KEYS, {**STOP, "eror": "why"}, "takes no argument eror"),
        (KEYS, {name: value for name, value in STOP.items() if name != "error"}, "lacks the argument error"),
        ({**KEYS, "evnts": "e"}, STOP, "takes no key evnts"),
        ({"run": "r"}, STOP, "lacks the key events, outbox, queued"),
    ],
)
def test_a_misspelt_name_is_a_type_error_that_says_it(
    client: Recorder, keys: dict[str, str], arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=rf"stop\.lua {said}"):
        runs(client)("stop", keys, **arguments)
    assert client.sent == []


def test_a_package_is_sent_whole_in_one_round_trip(client: Recorder) -> None:
    digests = runs(client).load()
    assert client.sent == [script.text for script in scripts.every("cluster.ledger").values()] + ["execute"]
    assert list(digests) == sorted(digests)
    assert digests == runs(client).load()


@pytest.mark.parametrize(("package", "name"), EACH)
def test_a_script_uses_the_names_of_its_head(package: str, name: str) -> None:
    script = scripts.read(package, name)
    code = re.sub(r"--.*", "", script.text)
    assert set(re.findall(r"\bK\.(\w+)", code)) | ({*script.keys} if "ipairs(KEYS)" in code else set()) == {
        *script.keys
    }
    assert set(re.findall(r"\bA\.(\w+)", code)) == {*script.arguments}
    assert not re.search(r"\b(KEYS|ARGV)\[\d", code.partition("local FIRST")[2])
    assert ("FIRST" in code.partition("local FIRST")[2]) == bool(script.rest)
