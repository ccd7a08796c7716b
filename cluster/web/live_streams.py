"""A live stream for one who asks: it ends once that one may hear it no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import redis
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from cluster import errors
from cluster.web import access
from cluster.web.channels import Reader
from cluster.web.problems import Problem
from cluster.web.routes import Asked

NOT_NOW = (429, 503)
"""Whether one may is not known at the moment."""


def events(
    asked: Asked, key: str, reader: Callable[[], Reader], see: Callable[[Asked], object] = lambda asked: None
) -> StreamingResponse:  # fmt: skip
    """The events of what is named ``key``.

    Args:
        asked: By whom.
        key: See ``Channels.listen``.
        reader: See ``Channels.listen``.
        see: Raises ``errors.UnknownRun`` where the one who asks may not see it. It is asked now and then, in a thread.
    """

    async def may() -> bool:
        return await _may_still(asked, see)

    after = asked.request.headers.get("last-event-id", "")
    heard = asked.web.channels.listen(key, reader, after, may)
    return StreamingResponse(heard, media_type="text/event-stream")


async def _may_still(asked: Asked, see: Callable[[Asked], object]) -> bool:
    try:
        who = await access.identify(asked.web, asked.request)
        if who is None or who.name != asked.who.name:
            return False
        await run_in_threadpool(see, dataclasses.replace(asked, who=who))
    except errors.UnknownRun:
        return False
    except Problem as error:
        return error.status in NOT_NOW
    except (redis.RedisError, errors.BrokerError):
        return True
    return True
