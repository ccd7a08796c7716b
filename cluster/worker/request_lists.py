"""A replica's side of the lists in Redis: take requests, give answers, in one round trip for both."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from cluster import keys, redis_outage
from cluster.services import messages
from cluster.services.messages import Request

WAIT_S = 1
PORTION_BYTES = 16 * 2**20
"""Payloads that are fetched and answered at a time, in bytes; one request may be larger."""
MOST_DONE = 4096
Taken = tuple[str, bytes]
"""A request as it was sent, with the target that it was sent to."""
log = logging.getLogger(__name__)


class Lists:
    """Takes requests and gives answers by one connection of its own.

    Commands are written to it directly: redis-py's own pipeline takes several times as long as Redis does.

    Args:
        client: Whose connection it is, with whatever way to Redis that has.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None

    def exchange(self, answers: Iterable[tuple[str, bytes]], targets: Sequence[str], most: int) -> list[Taken]:
        """Give answers, then wait up to ``WAIT_S`` for requests and take up to ``most`` of each target.

        Args:
            answers: Gateways, each with a message for it.
            targets: Whose requests are taken; none: it only gives.
            most: How many, at least 1.

        Raises:
            redis.RedisError, OSError: Redis is away or refuses. The answers are to be given again.
        """
        commands: list[tuple[Any, ...]] = []
        for gateway, message in answers:
            key = keys.answers(gateway)
            commands += [("RPUSH", key, message), ("EXPIRE", key, messages.KEEP_S)]
        given, lists = len(commands), [keys.requests(target) for target in targets]
        if lists:
            commands.append(("BLPOP", *lists, WAIT_S))
        if most > 1:
            commands += [("LPOP", one, most - 1) for one in lists]
        found = self._ask(commands)[given:]
        return self._taken(found[0], found[1:], targets) if lists else []

    def payloads(self, requests: Iterable[Request]) -> list[bytes | None]:
        """The payloads of requests that name theirs; None for one that is gone, as its deadline is over.

        Raises:
            redis.RedisError, OSError: Redis is away or refuses.
        """
        return self._ask([("GET", request.payload_key) for request in requests])

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to commands that are sent together. A refusal is raised once all are read."""
        if not commands:
            return []
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            connection = self._connection
            connection.send_packed_command(connection.pack_commands(commands))
            found = []
            for _ in commands:
                try:
                    found.append(connection.read_response())
                except redis.ResponseError as error:
                    found.append(error)
        except BaseException:
            self.close()
            raise
        for answer in found:
            if isinstance(answer, redis_outage.REFUSES):
                raise answer
        return found

    @staticmethod
    def _taken(first: Any, rest: Iterable[Any], targets: Sequence[str]) -> list[Taken]:
        """What came: ``first`` by the wait, of one list, then the ``rest`` of each."""
        taken: list[Taken] = []
        for target, raws in zip(targets, rest, strict=False):
            if isinstance(raws, redis.ResponseError):
                log.error("the requests for %s cannot be taken: %s", target, raws)
            elif raws:
                taken += [(target, raw) for raw in raws]
        if isinstance(first, redis.ResponseError):
            raise first
        if first:
            by_list = {keys.requests(target): target for target in targets}
            taken.insert(0, (by_list[first[0].decode()], first[1]))
        return taken


class Done:
    """The requests that this replica has done, the last ``MOST_DONE`` at least.

    A gateway sends a request once more if no answer comes for a while, as the replica that took it may be dead. One
    that is alive has answered, or will with its next question.
    """

    def __init__(self) -> None:
        self._newest: set[tuple[str, int]] = set()
        self._older: set[tuple[str, int]] = set()

    def take(self, request: Request) -> bool:
        """Whether it is to be done; it counts as done from now on."""
        one = (request.gateway, request.id)
        if one in self._newest or one in self._older:
            return False
        if len(self._newest) >= MOST_DONE:
            self._newest, self._older = set(), self._newest
        self._newest.add(one)
        return True

    def forget(self, requests: Iterable[Request]) -> None:
        """They could not be done, and may come again."""
        for request in requests:
            self._newest.discard((request.gateway, request.id))
            self._older.discard((request.gateway, request.id))


def portions(requests: Sequence[Request]) -> Iterable[list[Request]]:
    """Cut requests into portions of up to ``PORTION_BYTES``."""
    portion: list[Request] = []
    size = 0
    for request in requests:
        if portion and size + request.size_bytes > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(request)
        size += request.size_bytes
    if portion:
        yield portion
