"""Tasks turn a chunk into a part, on some node; one module for each job.

A task is a plain function ``task(chunk, **options) -> Part``: no Celery, no broker, callable in a test.
It may run twice on the same chunk, on two nodes at once, and should give an equal part each time.
It reports what is wrong with one item in ``failures`` and goes on; what it raises fails the whole
chunk, which is then tried again, mostly elsewhere.

``why_unavailable(**options) -> str`` of a module says why this machine cannot do the job, or "".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class Part(NamedTuple, Generic[Value]):
    """The result of one chunk."""

    value: Value
    """The aggregator joins these values. Holds only types that MessagePack carries."""

    failures: Mapping[str, str] = {}
    """Item name -> why it could not be done, as a sentence for the person who sent it."""
