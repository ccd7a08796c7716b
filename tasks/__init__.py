"""Tasks turn a chunk into a part, on some node; one module for each job.

A task is a plain function ``task(chunk, **options) -> Part``: no Celery, no broker, callable in a test.
It may run twice on the same chunk, on two nodes at once, and should give an equal part each time.
It reports what is wrong with one item in ``failures`` and goes on; what it raises fails the whole
chunk, which is then tried again, mostly elsewhere.

``why_unavailable(**options) -> str`` of a module says why this machine cannot do the job, or "".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from splitters import Chunk

Value = TypeVar("Value")

here = ""
"""The name of the node that does the tasks of this process; "" where it is none's. The worker sets it."""


class Part(NamedTuple, Generic[Value]):
    """The result of one chunk."""

    value: Value
    """The aggregator joins these values. Holds only types that MessagePack carries."""

    failures: Mapping[str, str] = {}
    """Item name -> why it could not be done, as a sentence for the person who sent it."""


class Tensor(NamedTuple):
    """An array that a model takes or gives."""

    name: str
    dtype: str
    """As NumPy names it: float32, int64."""
    shape: tuple[int | None, ...]
    """None stands for a dimension of any size; the first one counts rows, or pictures."""


class Tensors(NamedTuple):
    """What a model takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Seat(NamedTuple):
    """A place in a group of processes of one site, each with a shard of its own, that make their steps together."""

    number: int
    """Counted from 0."""
    shards: tuple[int, ...]
    """Those of the group, 2 and more, in the order of the seats."""
    host: str
    """The address of this machine for the others; "" where its owner lets nobody connect."""
    tell: Callable[[str], None]
    """Seat 0 tells the others where it waits; told again, the last one counts."""
    ask: Callable[[], str]
    """What seat 0 told; "" before."""
    report: Callable[[int, str], None]
    """The task says at the end how many did their steps together when they began, 1 if it was alone, and why it was
    alone then or in the end; "" if it was not."""


class Turn(NamedTuple):
    """One shard's work in one round of a job that goes in rounds: what its task gets in place of a chunk.

    Such a task is ``task(turn, **options) -> value``. ``value`` holds only types that MessagePack carries.
    """

    round: int
    """Counted from 0."""
    shard: int
    """Counted from 0."""
    shards: int
    """How many the run has."""
    kind: str
    """What the round is for, as the last ``aggregators.Step`` said: "train", say."""
    seconds: float | None
    """Seconds to work for, from now; None where an option says how many steps."""
    view: Any
    """What ``Rounds.see`` made of the views so far; not to be changed."""
    base: str
    """Names that view; the value repeats it."""
    about: bytes
    """What the splitter tells about the whole input: the only item of its first chunk."""
    read: Callable[[], Chunk]
    """Fetches the shard's items. That takes long: keep what is made of them in ``kept``."""
    kept: dict[str, Any]
    """What this process keeps of the shard from turn to turn; empty in a new process."""
    times: dict[str, float]
    """The task enters its seconds of "compute" and "encode" here, and with a seat those of the exchange, "share"."""
    steps: int | None = None
    """Steps to make exactly, whatever ``seconds`` says: a simulation knows how many there is time for."""
    seat: Seat | None = None
    """This process makes its steps together with others; None: alone."""
