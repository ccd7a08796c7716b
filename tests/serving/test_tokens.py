"""Tokens in Redis: shown once, kept as digests, refused when they are revoked."""

from __future__ import annotations

import hashlib

import pytest
import redis

from cluster import errors, keys
from cluster.services.tokens import MAX_SECRET_CHARS, Tokens
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
