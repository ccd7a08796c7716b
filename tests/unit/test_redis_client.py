"""Waiting for Redis: what is tried again, what is said, what ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.exceptions import OutOfMemoryError

from cluster import redis_client, redis_connection, redis_outage, redis_url, settings
from cluster.client import resume
from cluster.redis_outage import Outage, Patience


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of waiting. What a test gave up is waited for again in the next."""
    monkeypatch.setattr(redis_outage, "given_up", threading.Event())
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def failing(*raised: BaseException) -> Callable[[], str]:
    """Raises one after the other, then answers."""
    left = list(raised)

    def do() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return do


def nothing(_: Exception) -> None:
    pass


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("redis://:short@10.0.0.1:6379/0", "a password of fewer than 16 characters"),
        ("rediss://10.0.0.2/0", "no password"),
        ("sentinel://:short@127.0.0.1;sentinel://10.0.0.3/0", "a password of fewer than 16 characters"),
        ("redis://:short@127.0.0.1:6379/0", ""),
        ("redis://localhost", ""),
        ("redis://user:0123456789abcdef@10.0.0.4", ""),
        ("rediss://10.0.0.5/0?ssl_certfile=client.pem", ""),
    ],
)
def test_a_password_that_can_be_guessed_is_warned_of_once(url: str, has: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        redis_client.warn_of_password(url)
    assert len(caplog.records) == bool(has)
    assert has in caplog.text
    assert "short" not in caplog.text


def test_an_outage_that_lasts_is_told_once_with_what_to_type(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = Outage("here")
    for _ in range(2):
        for seconds in (0.0, 1.0, 61.0, 120.0):
            monkeypatch.setattr("time.monotonic", lambda now=seconds: now)
            news.say_away(redis.ConnectionError("gone"))
        news.say_back()
    told = [record.message for record in caplog.records if "for good" in record.message]
    assert len(told) == 2
    assert told[0].startswith("Redis at here has been away for 61 s; still waiting. If it is gone for good, press")
    assert "--data DIR" in told[0]


def test_who_reads_an_upload_leaves_a_redis_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    news, killed = Outage("here"), list[tuple[int, int]]()
    monkeypatch.setattr(redis_outage, "outage", lambda url: news)
    monkeypatch.setattr("os.kill", lambda *sent: killed.append(sent))
    client: Any = SimpleNamespace(config=settings.load(broker_url="redis://here"))
    resume.leave_lost_redis(client)

    def wait(seconds: float, error: redis.RedisError) -> int:
        monkeypatch.setattr("time.monotonic", lambda: seconds)
        news.say_away(error)
        news.on_wait()
        return len(killed)

    gone = redis.ConnectionError("gone")
    assert [wait(seconds, gone) for seconds in (0.0, resume.LEAVES_S, resume.LEAVES_S + 1)] == [0, 0, 1]
    assert killed == [(os.getpid(), signal.SIGTERM)]
    news.say_back()
    assert [wait(seconds, OutOfMemoryError("full")) for seconds in (10_000.0, 20_000.0)] == [1, 1], (
        "a full Redis is waited for"
    )


def test_an_outage_is_said_once_however_many_wait_and_try(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    news = Outage("here")
    inner, outer = Patience(news), Patience(news)
    away = [redis.ConnectionError("refused"), redis.TimeoutError("slow"), redis.BusyLoadingError("loading")]
    first = failing(redis.ConnectionError("gone"))

    def do() -> str:
        first()
        return inner.call_with_retry(failing(*away), nothing)

    assert outer.call_with_retry(do, nothing) == "answer"
    assert [record.message.partition(" after")[0] for record in caplog.records] == [
        "Redis at here does not answer (gone); waiting",
        "Redis at here is back",
    ]
    assert len(pauses) == 4


def test_who_hears_late_of_an_outage_that_is_over_says_nothing(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    news = Outage("here")
    other = Patience(news)
    asked: list[bool] = []

    def do() -> str:
        if not asked:
            asked.append(True)
            other.call_with_retry(failing(redis.ConnectionError("gone")), nothing)  # in another thread, meanwhile
            raise redis.TimeoutError("slow")
        return "answer"

    assert Patience(news).call_with_retry(do, nothing) == "answer"
    assert caplog.text.count("does not answer") == caplog.text.count("is back") == 1


def test_a_second_timeout_names_the_network_and_a_setting(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(Outage("here"))
    for error in (redis.TimeoutError("slow"), redis.ConnectionError("gone"), redis.TimeoutError("slow")):
        patience.call_with_retry(failing(error), nothing)
    said = [record.getMessage() for record in caplog.records if "does not answer" in record.getMessage()]
    assert ["?socket_timeout=60" in line for line in said] == [False, False, True]


def test_the_second_outage_is_said_again(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience(Outage("here"))
    for _ in range(2):
        patience.call_with_retry(failing(redis.ConnectionError("gone")), nothing)
    assert caplog.text.count("does not answer") == 2


def test_a_full_redis_is_waited_for_and_has_room_only_when_it_took_what_it_refused(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    news = Outage("here")

    def do() -> str:
        Patience(news).call_with_retry(failing(), nothing)  # a read, by another thread
        return write()

    write = failing(OutOfMemoryError("no"), OutOfMemoryError("no"))
    Patience(news).call_with_retry(do, nothing)
    assert ["full" in record.message for record in caplog.records] == [True, False]
    assert "takes writes again" in caplog.text


def test_pauses_grow_to_two_seconds_and_never_end(pauses: list[float]) -> None:
    away = [redis.ConnectionError("gone") for _ in range(5000)]
    assert Patience(Outage("here")).call_with_retry(failing(*away), nothing) == "answer"
    assert len(pauses) == 5000
    assert pauses[0] < 0.2
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2.0


@pytest.mark.parametrize("error", [redis.AuthenticationError("who"), redis.ResponseError("what"), ValueError("why")])
def test_what_will_not_pass_is_not_waited_for(error: Exception, pauses: list[float]) -> None:
    with pytest.raises(type(error)):
        Patience(Outage("here")).call_with_retry(failing(error), nothing)
    assert not pauses


@pytest.mark.parametrize(
    "answer",
    [
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script.",
        "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -READONLY You can't write",
    ],
)
def test_a_refusal_that_passes_by_itself_is_waited_for(
    answer: str, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    refused = BaseParser.parse_error(answer)  # type: ignore[no-untyped-call]
    assert Patience(Outage("here")).call_with_retry(failing(refused, refused), nothing) == "answer"
    assert len(pauses) == 2
    assert caplog.text.count("; waiting") == 1
    assert "does not answer" not in caplog.text


def test_ctrl_c_ends_the_wait_and_all_further_ones(pauses: list[float]) -> None:
    news = Outage("here")
    with pytest.raises(KeyboardInterrupt):
        Patience(news).call_with_retry(failing(redis.ConnectionError("gone"), KeyboardInterrupt()), nothing)
    with pytest.raises(redis.ConnectionError):
        Patience(news).call_with_retry(failing(*[redis.ConnectionError("gone")] * 2), nothing)


def test_told_to_end_it_still_gets_over_a_connection_that_was_lost_unnoticed(pauses: list[float]) -> None:
    redis_outage.given_up.set()
    patience = Patience(Outage("here"))
    assert patience.call_with_retry(failing(redis.ConnectionError("gone")), nothing) == "answer"
    with pytest.raises(redis.TimeoutError):
        patience.call_with_retry(failing(redis.TimeoutError("frozen")), nothing)


def test_a_signal_ends_a_wait_that_is_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_outage, "given_up", threading.Event())
    monkeypatch.setattr("time.sleep", redis_outage.give_up)
    redis_outage.give_up()  # this thread does not wait
    redis_outage.given_up.clear()
    with pytest.raises(redis_outage.GivenUp):
        Patience(Outage("here")).call_with_retry(failing(redis.ConnectionError("gone")), nothing)


def test_a_time_limit_in_the_wait_is_the_fault_of_redis(pauses: list[float]) -> None:
    limit = RuntimeError("SoftTimeLimitExceeded")
    with pytest.raises(redis.ConnectionError) as caught:
        Patience(Outage("here")).call_with_retry(failing(redis.ConnectionError("gone"), limit), nothing)
    assert caught.value.__cause__ is limit


def test_sentinels_are_read_from_the_url_of_the_settings() -> None:
    config = settings.load(
        broker_url="sentinel://:p%40ss@a:1;sentinel://b/3", sentinel_master="office", sentinel_password="s&t"
    )
    found = redis_url.sentinels_of(config.require_broker())
    assert tuple(found) == ([("a", 1), ("b", 26379)], None, "p@ss", 3, "office", "s&t")
    given = redis_url.for_kombu(config.require_broker())
    assert given.url == "sentinel://:p%40ss@a:1/3;sentinel://:p%40ss@b:26379/3"
    assert given.options["master_name"] == "office"
    shown = redis_url.masked(config.require_broker())
    assert shown == "sentinel://:***@a:1;sentinel://b/3?master=office&sentinel_password=***"


def test_kombu_verifies_certificates_and_gets_no_url_that_it_cannot_read() -> None:
    given = redis_url.for_kombu("rediss://:p%40@h/0?ssl_ca_certs=/ca.pem&socket_timeout=60")
    assert given.url == "rediss://:p%40@h:6379/0"
    assert given.ssl == {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}
    assert redis_url.for_kombu("redis://h?protocol=2") == ("redis://h:6379/0", None, {})


@pytest.mark.parametrize(
    "url", ["redis://u:p%2F@h:1/3", "redis://h:1?db=3&username=u&password=p/", "redis://u:p%2F@h:1/3/"]
)
def test_kombu_connects_to_where_all_others_do(url: str) -> None:
    assert redis_url.for_kombu(url).url == "redis://u:p%2F@h:1/3"
    assert redis_client.connect(url).get_connection_kwargs()["db"] == 3


def test_a_timeout_in_the_url_is_for_what_has_none_of_its_own() -> None:
    url = "redis://h?socket_timeout=60"
    assert redis_client.connect(url).get_connection_kwargs()["socket_timeout"] == 60
    assert redis_client.connect(url, timeout_s=1).get_connection_kwargs()["socket_timeout"] == 1


def test_a_connection_may_break_again_while_it_is_taken_from_its_pool(
    redis_url: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, left = redis_client.connect(redis_url), [redis.ConnectionError("reset")] * 3
    answers = redis.Connection.can_read

    def can_read(connection: redis.Connection, *arguments: float) -> bool:
        if left:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise left.pop()
        return answers(connection, *arguments)

    monkeypatch.setattr(redis.Connection, "can_read", can_read)
    assert [client.ping() for _ in range(3)] == [True] * 3
    assert left == []


def test_a_script_outlasts_restarts_that_forget_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = redis.exceptions.NoScriptError("No matching script. Please use EVAL.")
    answers: Iterator[Exception | bytes] = iter((*[forgotten] * 3, b"done"))  # redis-py alone calls it twice

    def evalsha(*_: object) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = redis_client.connect("redis://h")
    script = client.register_script("return 'done'")
    monkeypatch.setattr(client, "evalsha", evalsha)
    monkeypatch.setattr(client, "script_load", lambda text: script.sha)
    assert script() == b"done"


@pytest.mark.parametrize("kind", redis_connection.STEADY.values())
def test_a_large_value_of_a_hash_is_never_copied(kind: Any) -> None:
    large, small = bytes(10**6), b"few"
    commands = [("HSET", "hash", "large", large, "number", 7), ("HSET", "hash", "small", small), ("GET", "other")]
    plain: Any = redis.Connection
    pieces = kind().pack_commands(commands)
    assert any(piece is large for piece in pieces)
    assert b"".join(pieces) == b"".join(plain().pack_commands(commands))


@pytest.mark.parametrize("as_told", [bytes, bytes.decode], ids=["RESP2", "RESP3"])
def test_the_names_of_connections_are_read_from_the_list_of_clients(as_told: Callable[[bytes], Any]) -> None:
    told = (
        b"id=3 addr=127.0.0.1:4 laddr=127.0.0.1:5 fd=8 name=cluster-node age=3 cmd=get user=default lib-name=redis-py\n"
        b"id=4 addr=127.0.0.1:6 laddr=127.0.0.1:5 fd=9 name= age=3 cmd=client|list user=default lib-name= lib-ver=\n"
    )
    client: Any = SimpleNamespace(execute_command=lambda *words: as_told(told) if words == ("CLIENT", "LIST") else None)
    assert redis_client.connected(client) == ["cluster-node"]
