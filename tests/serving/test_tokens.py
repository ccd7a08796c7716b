"""Tokens in Redis: shown once, kept as digests, refused when they are revoked."""

from __future__ import annotations

import hashlib

import pytest
import redis

from cluster import errors, keys, redis_rows
from cluster.roles import Role
from cluster.services.tokens import MAX_SECRET_CHARS, KnownTokens, Tokens
from cluster.stores import Stores


@pytest.fixture
def tokens(stores: Stores) -> Tokens:
    stores.redis.delete(keys.TOKENS)
    return Tokens(stores.redis)


def test_a_new_token_opens_under_its_name(tokens: Tokens) -> None:
    secret = tokens.new("laptop-ann")
    assert len(secret) >= 43
    assert tokens.check(secret) == "laptop-ann"
    assert [token.name for token in tokens.list()] == ["laptop-ann"]


def test_redis_holds_no_secret_only_digests(tokens: Tokens, client: redis.Redis) -> None:
    secret = tokens.new("ann")
    (row,) = client.hvals(keys.TOKENS)
    assert secret.encode() not in row
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in row


@pytest.mark.parametrize("secret", ["", "wrong", "ä", "\ud800", "x" * (MAX_SECRET_CHARS + 1), "x" * 10**6])
def test_another_secret_opens_nothing_at_all(tokens: Tokens, secret: str) -> None:
    assert tokens.check(secret) is None
    tokens.new("ann")
    assert tokens.check(secret) is None


def test_a_taken_name_is_refused_and_still_opens(tokens: Tokens) -> None:
    secret = tokens.new("ann")
    with pytest.raises(errors.UsageError, match="cluster token revoke ann"):
        tokens.new("ann")
    assert tokens.check(secret) == "ann"


@pytest.mark.parametrize("name", ["", "Ann", "-ann", "an n", "ann\n", "a" * 65, "ä"])
def test_a_name_that_is_none_is_refused(tokens: Tokens, name: str) -> None:
    with pytest.raises(errors.UsageError, match="cannot name a token"):
        tokens.new(name)


def test_a_revoked_token_opens_nothing_any_more(tokens: Tokens) -> None:
    secret, other = tokens.new("ann"), tokens.new("bob")
    tokens.revoke("ann")
    assert tokens.check(secret) is None
    assert tokens.check(other) == "bob"
    with pytest.raises(errors.UsageError, match="no token 'ann'; there are: bob"):
        tokens.revoke("ann")


def test_rows_of_another_form_are_left_out(tokens: Tokens, client: redis.Redis) -> None:
    secret = tokens.new("ann")
    client.hset(keys.TOKENS, mapping={"odd": b"\xff", b"\xff": "1 2", "short": "17 abc"})
    assert tokens.check(secret) == "ann"
    assert [token.name for token in tokens.list()] == ["ann"]


def test_a_token_has_a_role_and_tells_when_it_was_used(tokens: Tokens, client: redis.Redis) -> None:
    secret = tokens.new("screen", Role.VIEWER)
    [before] = tokens.list()
    assert (before.role, before.expires_at, before.used_at) == (Role.VIEWER, None, None)
    assert tokens.who(secret) == ("screen", Role.VIEWER)
    [after] = tokens.list()
    assert after.used_at is not None
    tokens.revoke("screen")
    assert client.hgetall(keys.TOKENS_USED) == {}


def test_a_token_opens_nothing_once_it_has_expired(tokens: Tokens, client: redis.Redis) -> None:
    secret = tokens.new("short", days=1)
    assert tokens.who(secret) is not None
    row = redis_rows.TokenRow.parse(client.hget(keys.TOKENS, "short").decode())  # type: ignore[union-attr]
    assert row.until_s - row.made_s == 24 * 3600
    client.hset(keys.TOKENS, "short", str(row._replace(until_s=row.made_s - 1)))
    assert tokens.who(secret) is None
    assert tokens.check(secret) is None
    assert [token.name for token in tokens.list()] == ["short"]


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_that_are_none_are_refused(days: int, tokens: Tokens) -> None:
    with pytest.raises(errors.UsageError, match="after 1 to 3650 days"):
        tokens.new("ann", days=days)
    assert tokens.list() == []


def test_a_row_of_before_is_a_submitters_without_an_end(tokens: Tokens, client: redis.Redis) -> None:
    secret = "s" * 43
    client.hset(keys.TOKENS, "old", f"1700000000 {hashlib.sha256(secret.encode()).hexdigest()}")
    assert tokens.who(secret) == ("old", Role.SUBMITTER)
    assert tokens.list()[0].expires_at is None


def test_a_gateway_takes_no_token_of_a_viewer_and_none_that_has_expired() -> None:
    rows = {
        name: redis_rows.TokenRow(1, hashlib.sha256(name.encode()).hexdigest(), role, until_s)
        for name, role, until_s in (("v", "viewer", 0), ("s", "submitter", 0), ("o", "operator", 99), ("x", "new", 0))
    }
    known = KnownTokens(rows, 100, Role.SUBMITTER)
    assert [known.check(secret) for secret in "vsox"] == [None, "s", None, None]
    assert known.used == {"s"}
