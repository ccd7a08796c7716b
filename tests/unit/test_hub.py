"""The folder of a hub that outlasts restarts: what is kept in it, and what is refused."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from redis.exceptions import BusyLoadingError

from cluster import errors, redis_client
from cluster.cli import shared, up
from cluster.embedded import LocalCluster, hub, redis_server


def test_port_and_password_stay_and_are_the_owners_alone(tmp_path: Path) -> None:
    with hub.opened(tmp_path / "new" / "hub") as first:
        assert first.port == 0
        first.keep(4711)
    with hub.opened(tmp_path / "new" / "hub") as again:
        assert (again.port, again.password) == (4711, first.password)
    modes = {path.name: path.stat().st_mode & 0o777 for path in first.folder.iterdir()}
    assert (modes["hub.json"], modes["redis"]) == (0o600, 0o700)


def test_two_on_one_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    with hub.opened(tmp_path), pytest.raises(errors.UsageError) as caught, hub.opened(tmp_path):
        pass
    assert str(caught.value).startswith(f"another `cluster up` or `cluster web` works on --data {tmp_path}")


def test_the_programs_of_one_that_was_killed_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / hub.PROGRAMS).open("w") as held_by_a_guard:
        fcntl.flock(held_by_a_guard, fcntl.LOCK_EX)
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(held_by_a_guard, fcntl.LOCK_UN))
        with hub.opened(tmp_path):
            assert "waiting for the programs of the last `cluster up`" in caplog.text
        fcntl.flock(held_by_a_guard, fcntl.LOCK_EX)
        monkeypatch.setattr("time.sleep", lambda _: None)
        monkeypatch.setattr(hub, "PROGRAMS_END_S", 0)
        with pytest.raises(errors.UsageError, match="do not end"), hub.opened(tmp_path):
            pass


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "No such file or directory"),
        ("", "Expecting value"),
        ("[]", "list indices must be"),
        ('{"port": 1}', "'password'"),
        ('{"port": 99999, "password": "abcdefghijklmnop"}', "it has no valid port or password"),
        ('{"port": true, "password": "abcdefghijklmnop"}', "it has no valid port or password"),
        ('{"port": 1, "password": "short"}', "it has no valid port or password"),
        ('{"port": 1, "password": "abcdefghijklmnop\\nuser x on nopass ~* +@all"}', "it has no valid port or password"),
    ],
)
def test_a_damaged_folder_is_a_clear_error(said: str | None, why: str, tmp_path: Path) -> None:
    with hub.opened(tmp_path) as kept:
        kept.keep(4711)
    (tmp_path / "hub.json").unlink()
    if said is not None:
        (tmp_path / "hub.json").write_text(said)
    with pytest.raises(errors.UsageError) as caught, hub.opened(tmp_path):
        pass
    assert f"{tmp_path / 'hub.json'}, which keeps the port and the password, is damaged ({why}" in str(caught.value)


def test_a_place_that_is_not_for_a_hub_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    for place, why in ((tmp_path, r"holds other things \(letter.txt\)"), (tmp_path / "letter.txt", "File exists")):
        with pytest.raises(errors.UsageError, match=why), hub.opened(place):
            pass


def test_a_redis_that_would_begin_anew_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64'\n")
    program.chmod(0o755)
    old = redis_server.Server(str(program), "PATH")
    redis_server.check_can_read(old, tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(errors.NoRedisServer, match="was written by Redis 7 or newer"):
        redis_server.check_can_read(old, tmp_path)


def test_a_redis_that_reads_its_data_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = iter([True, True, False])

    def check(url: str) -> None:
        with redis_client.translated(url):
            if next(loading):
                raise BusyLoadingError("LOADING Redis is loading the dataset in memory")

    monkeypatch.setattr(redis_client, "check", check)
    assert LocalCluster()._wait_for_redis()


def test_a_hub_is_found_by_others_as_long_as_somebody_has_it_open(tmp_path: Path) -> None:
    assert hub.running(tmp_path, "127.0.0.1") is None
    with hub.opened(tmp_path) as kept:
        assert hub.running(tmp_path, "127.0.0.1") is None  # its Redis has no port yet
        kept.keep(4711)
        assert hub.running(tmp_path, "127.0.0.1") == f"redis://:{kept.password}@127.0.0.1:4711/0"
    assert hub.running(tmp_path, "127.0.0.1") is None


def test_what_a_page_keeps_may_lie_in_the_folder_of_its_hub(tmp_path: Path) -> None:
    (tmp_path / hub.PAGE).mkdir()
    with hub.opened(tmp_path):
        pass


@pytest.mark.parametrize(("given", "meant"), [([], None), (["--data"], shared.NO_NAME), (["--data", "d"], Path("d"))])
def test_data_without_a_folder_means_that_of_the_page(given: list[str], meant: Path | None) -> None:
    for more in ([], ["--no-worker"]):
        assert up.command.make_context("up", [*given, *more]).params["data"] == meant
