"""Every Redis key of ours, with its meaning. Celery's own keys (queues, unacked, chords) stand beside.

| key                         | type   | meaning |
| --------------------------- | ------ | ------- |
| cluster:runs                | zset   | run -> when it started, in seconds since 1970 |
| cluster:run:R               | hash   | run R: its job, policy, state and counters (the table in ``ledger/row.py``) |
| cluster:run:R:done          | bitmap | bit i: chunk i is settled, that is committed or set aside |
| cluster:run:R:chunks        | hash   | chunk -> its items, and their bytes or where they lie; until it is settled |
| cluster:run:R:expected      | hash   | chunk -> its items and how large its part may be; until its window is folded |
| cluster:run:R:outbox        | list   | messages of windows that are not in the queue yet, the oldest last |
| cluster:run:R:queued        | set    | chunks whose message waits in the queue, or was refused and is delayed |
| cluster:run:R:claims        | hash   | chunk or "fold level:number" -> "since_ms start node", who works on it |
| cluster:run:R:attempts      | hash   | chunk or "fold level:number" -> "failed killed lost", how often they ended so |
| cluster:run:R:pieces        | hash   | done item by item: chunk -> items that are over, "chunk:item" -> its piece |
| cluster:run:R:copies        | hash   | chunk -> the slow node for whose sake a second copy was published |
| cluster:run:R:windows       | hash   | window -> "first chunk, number of chunks, trigger" (``records.Trigger``) |
| cluster:run:R:parts:W       | hash   | chunk -> its part; only until window W is folded |
| cluster:run:R:folds         | hash   | "level:number" -> the part that a fold gave; these together are the result |
| cluster:run:R:failures      | hash   | item -> why it is missing |
| cluster:run:R:nodes         | hash   | node -> chunks it committed |
| cluster:run:R:times         | hash   | node -> microseconds it took for these |
| cluster:run:R:refusals      | hash   | node -> why it does not take this run's chunks |
| cluster:run:R:events        | stream | the run's story, its last changes |
| cluster:run:R:publishing    | string | who makes a model of the run's result; for some minutes |
| cluster:blobs:SCOPE         | hash   | sha256 -> bytes |
| cluster:nodes               | hash   | node -> "start joined seen state facts", written by the node every second |
| cluster:nodes:names         | hash   | node -> start that took the name: two machines may be called the same |
| cluster:nodes:wishes        | hash   | node -> "start what": what is wished of that start of it |
| cluster:nodes:starts        | hash   | start -> "seen node", each start of a node until nothing of it is left |
| cluster:nodes:watcher       | string | who watches the nodes now; for a second or two |
| cluster:nodes:losses        | string | how often a node was lost |
| cluster:bundles             | hash   | bundle -> "last latest pinned" (``bundles.state.State``); "#revision" |
| cluster:bundle:NAME         | hash   | version -> its manifest as JSON, without name and version |
| cluster:bundle:NAME:digests | hash   | digest of the content -> version |
| cluster:demand              | zset   | "label run" -> when it was entered: what running runs need of nodes |
| cluster:delayed             | zset   | queue and message -> when it goes there, in ms since 1970 by Redis's clock |
| cluster:waiting             | zset   | run with chunks that wait for nodes -> until when it counts, in ms since 1970 |
| cluster:paused              | zset   | run whose outbox waits -> when nodes look at it, in ms since 1970 |
| cluster:revision            | string | counts changes of demand and bundles: who saw another number looks again |
| cluster:writable            | string | written, for a second, to see whether Redis takes writes |
| cluster:unacked:START       | hash   | messages this start of a node holds (kombu's; beside it `:index`, `:mutex`) |

Scopes of blobs: ``runs/R/in/<chunk>`` the input of a chunk, dropped when it is settled;
``runs/R/parts/<window>`` large parts, dropped when their window is folded;
``runs/R/folds/<level>/<number>`` large folds, dropped when they are folded themselves;
``bundles/<name>/<random>`` the pieces of one version of a bundle, dropped when that is removed.
"""

from __future__ import annotations

import re

QUEUE = "cluster."
OURS = "cluster:"
RUNS = "cluster:runs"
NODES = "cluster:nodes"
NAMES = "cluster:nodes:names"
WISHES = "cluster:nodes:wishes"
STARTS = "cluster:nodes:starts"
WATCHER = "cluster:nodes:watcher"
LOSSES = "cluster:nodes:losses"
DEMAND = "cluster:demand"
DELAYED = "cluster:delayed"
WAITING = "cluster:waiting"
PAUSED = "cluster:paused"
REVISION = "cluster:revision"
WRITABLE = "cluster:writable"
BUNDLES = "cluster:bundles"
OF_RUN = (
    "done", "chunks", "expected", "claims", "attempts", "copies", "windows", "folds",
    "failures", "nodes", "times", "refusals", "events", "publishing", "outbox", "queued", "pieces",
)  # fmt: skip
"""What a run has besides its own hash and the parts of its windows."""


def queue(label: str) -> str:
    """Celery's list of the messages of a label (see ``Job.label_with``): only who serves that label sees them."""
    return QUEUE + label


def label_of(queue: str) -> str:
    """The label whose messages are in a queue; "" for a queue that is not ours."""
    return queue.removeprefix(QUEUE) if queue.startswith(QUEUE) else ""


def run(run: str, what: str = "") -> str:
    """A key of one run; ``what`` is one of the names above, empty for the run's own hash."""
    return f"cluster:run:{run}:{what}" if what else f"cluster:run:{run}"


def parts(run: str, window: int) -> str:
    """The parts of one window."""
    return f"cluster:run:{run}:parts:{window}"


def unacked(start: str) -> str:
    """The messages that a start of a node holds."""
    return f"cluster:unacked:{start}"


def blobs(scope: str) -> str:
    """The blobs of one scope."""
    return f"cluster:blobs:{scope}"


def bundle(name: str) -> str:
    """The versions of a bundle."""
    return f"cluster:bundle:{name}"


def bundle_digests(name: str) -> str:
    """Which version of a bundle has which content."""
    return f"cluster:bundle:{name}:digests"


def bundle_scope(name: str, token: str) -> str:
    """Where the pieces of one push of a bundle lie."""
    return f"bundles/{name}/{token}"


def is_bundle_scope(scope: str, name: str) -> bool:
    """Whether a scope, which anything may have written, is one of that bundle."""
    return re.fullmatch(rf"{re.escape(bundle_scope(name, ''))}[0-9a-f]{{16,64}}", scope) is not None


def input_scope(run: str, chunk: int) -> str:
    """Where the input of a chunk lies."""
    return f"runs/{run}/in/{chunk}"


def parts_scope(run: str, window: int) -> str:
    """Where the large parts of a window lie."""
    return f"runs/{run}/parts/{window}"


def fold_scope(run: str, level: int, number: int) -> str:
    """Where a large fold lies."""
    return f"runs/{run}/folds/{level}/{number}"


def run_folder(run: str) -> str:
    """What all scopes of one run lie below."""
    return f"runs/{run}"


def scope_of(key: str) -> str:
    """Which scope a key that ``blobs`` made belongs to."""
    return key.removeprefix(blobs(""))


def run_of(key: str) -> str:
    """Which run a key that ``run`` or ``parts`` made belongs to."""
    return key.removeprefix(run("")).partition(":")[0]
