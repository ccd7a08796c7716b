"""Sessions on a cluster, without a client around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cluster import redis_client
from cluster.client.session import Session
from cluster.job import Job
from cluster.settings import Settings


@contextmanager
def opened(config: Settings, job: Job, options: Mapping[str, Any]) -> Iterator[Session]:
    """A session on the cluster of ``config.broker_url``."""
    redis_client.check(config.require_broker())
    with Session(config) as session, session.explaining():
        session.serve(job, options)
        yield session
