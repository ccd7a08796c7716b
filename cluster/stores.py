"""The stores that a process has open: ledger, bytes, nodes, models."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import redis

    from cluster.blobs import BlobStore
    from cluster.blobs.measured import Meter
    from cluster.bundles.store import ModelStore
    from cluster.ledger import Ledger
    from cluster.nodes.registry import Registry
    from cluster.settings import Settings


@dataclass(frozen=True)
class Stores:
    """The stores of a cluster: the ledger and bytes of its runs, its nodes and its models."""

    ledger: Ledger
    blobs: BlobStore
    nodes: Registry
    redis: redis.Redis
    """For what is no run's: queues, delayed messages, wanted capabilities. A run's keys are the ledger's alone."""
    _settings: Settings

    @classmethod
    def connect(cls, settings: Settings, *, patient: bool = True, meter: Meter | None = None) -> Self:
        """The stores that the settings name; connects on first use.

        Args:
            settings: Name the broker and the blob store.
            patient: Wait for a Redis that is away, as ``redis_client.connect`` does.
            meter: Told how fast bytes cross to the blob store and back.

        Raises:
            errors.BrokerError: No broker is set.
        """
        from cluster import blobs, redis_client
        from cluster.ledger import Ledger
        from cluster.nodes.registry import Registry

        client = redis_client.connect(settings.require_broker(), patient=patient)
        bytes_ = blobs.connect(settings, client)
        if meter is not None:
            from cluster.blobs.measured import Measured

            bytes_ = Measured(bytes_, meter)
        return cls(Ledger.of(client), bytes_, Registry(client), client, settings)

    @functools.cached_property
    def models(self) -> ModelStore:
        """The models; most runs have none, so they are loaded when they are first asked for."""
        from cluster.bundles import store

        return store.connect(self._settings, self.redis, self.blobs)
