"""A replica that is played in a thread: it takes requests of a service and answers them by a function of the test."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Self

import redis

from cluster import keys, names
from cluster.names import Target
from cluster.services import messages
from cluster.services.desired import Service, Services
from cluster.services.messages import Answer, Request, Tensor
from cluster.services.replicas import Replicas, Row

Answering = Callable[[Sequence[Request]], Sequence[Answer]]
MOST = 32


def doubled(requests: Sequence[Request]) -> list[Answer]:
    """Each tensor as it is, under the name "y"; of an item its size."""
    found = []
    for request in requests:
        if request.kind == "tensor":
            assert isinstance(request.payload, bytes)
            (shape, *_) = request.tensors
            value: Any = (Tensor("y", shape.dtype, shape.shape, request.payload[: shape.size_bytes]),)
        else:
            value = b'{"size":%d}' % request.size_bytes
        found.append(Answer(request.id, messages.OK, value))
    return found


def enter(client: redis.Redis, name: str, **fields: Any) -> Service:
    """Enter a service of a job without models."""
    service = Service(name=name, **{"job": "onnx", **fields})
    Services(client).put(service)
    return service


class PlayedReplica:
    """Serves one target, as ``with PlayedReplica(client, Target("office", 3))``; the service must be there."""

    def __init__(self, client: redis.Redis, *targets: Target, answering: Answering = doubled, most: int = MOST) -> None:
        self._redis = client
        self._targets = targets
        self._answering = answering
        self._most = most
        self._ended = threading.Event()
        self._frozen = threading.Event()
        self.taken: list[Request] = []
        self.id = str(names.Replica.begun(1_700_000_000_000))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.tell()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for service in {target.service for target in self._targets}:
            Replicas(self._redis).release(service, self.id)

    def tell(self) -> None:
        """Keep the lease."""
        for service in {target.service for target in self._targets}:
            ready = [str(target) for target in self._targets if target.service == service]
            Replicas(self._redis).keep(service, self.id, Row(node="played@pc", ready=ready))

    def lose(self) -> None:
        """Take what comes next and answer nothing any more, as a process that is killed while it works."""
        self._frozen.set()

    def _run(self) -> None:
        queues = {keys.requests(str(target)): target for target in self._targets}
        while not self._ended.is_set():
            self.tell()
            first: Any = self._redis.blpop(list(queues), timeout=1)
            if not first:
                continue
            queue, message = first[0].decode(), first[1]
            more: Any = (self._most > 1 and self._redis.lpop(queue, self._most - 1)) or []
            requests = [Request.unpack(one) for one in (message, *more)]
            self.taken += requests
            if self._frozen.is_set():
                self._ended.wait()
            else:
                self._answer(queues[queue], [self._whole(request) for request in requests])

    def _whole(self, request: Request) -> Request:
        if isinstance(request.payload, int):
            found: Any = self._redis.get(request.payload_key)
            request = request._replace(payload=found)
        return request

    def _answer(self, target: Target, requests: Sequence[Request]) -> None:
        of = defaultdict(list)
        for request in requests:
            of[request.gateway].append(request)
        for gateway, own in of.items():
            answers = messages.pack_answers(target.version, self._answering(own))
            self._redis.rpush(keys.answers(gateway), answers)
            self._redis.expire(keys.answers(gateway), messages.KEEP_S)
