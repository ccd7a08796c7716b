"""Every Redis key of ours, with its meaning. Celery's own keys (queues, unacked, chords) stand beside.

| key                         | type   | meaning |
| --------------------------- | ------ | ------- |
| cluster:runs                | zset   | run -> when it started, in seconds since 1970 |
| cluster:run:R               | hash   | manifest, state and counters of run R (fields: ledger.py) |
| cluster:run:R:done          | bitmap | bit i: chunk i is settled, that is committed or set aside |
| cluster:run:R:chunks        | hash   | chunk -> its items and where their bytes lie; until it is settled |
| cluster:run:R:claims        | hash   | chunk or "fold level:number" -> "attempts when node", its last start |
| cluster:run:R:windows       | hash   | window -> "first chunk, number of chunks" |
| cluster:run:R:parts:W       | hash   | chunk -> its part; only until window W is folded |
| cluster:run:R:folds         | hash   | "level:number" -> the part that a fold gave; these together are the result |
| cluster:run:R:failures      | hash   | item -> why it is missing |
| cluster:run:R:nodes         | hash   | node -> chunks it committed |
| cluster:blobs:SCOPE         | hash   | sha256 -> bytes |
| cluster:nodes               | hash   | node -> "start joined seen state facts", written by the node every second |
| cluster:nodes:wishes        | hash   | node -> "start what": what is wished of that start of it |

Scopes of blobs: ``runs/R/in/<chunk>`` the input of a chunk, dropped when it is settled;
``runs/R/parts/<window>`` large parts, dropped when their window is folded;
``runs/R/folds/<level>/<number>`` large folds, dropped when they are folded themselves.
"""

from __future__ import annotations

RUNS = "cluster:runs"
NODES = "cluster:nodes"
WISHES = "cluster:nodes:wishes"


def run(run: str, what: str = "") -> str:
    """A key of one run; ``what`` is one of the names above, empty for the run's own hash."""
    return f"cluster:run:{run}:{what}" if what else f"cluster:run:{run}"


def parts(run: str, window: int) -> str:
    """The parts of one window."""
    return f"cluster:run:{run}:parts:{window}"


def blobs(scope: str) -> str:
    """The blobs of one scope."""
    return f"cluster:blobs:{scope}"


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


def run_of(key: str) -> str:
    """Which run a key that ``run`` or ``parts`` made belongs to."""
    return key.removeprefix(run("")).partition(":")[0]
