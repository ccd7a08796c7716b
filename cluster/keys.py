"""Every Redis key of ours, with its meaning. Celery's own keys (queues, unacked, chords) stand beside.

| key                          | type   | meaning |
| ---------------------------- | ------ | ------- |
| cluster2:runs                | zset   | run -> when it started, in seconds since 1970 |
| cluster2:run:R               | hash   | run R: its job, policy, state and counters (the table in ``ledger/row.py``) |
| cluster2:run:R:done          | bitmap | bit i: chunk i is settled, that is committed or given up |
| cluster2:run:R:chunks        | hash   | chunk -> its items, and their bytes or where they lie; until it is settled |
| cluster2:run:R:expected      | hash   | chunk -> its items and how large its part may be, until its batch is joined |
| cluster2:run:R:outbox        | list   | messages of batches that are not in the queue yet, the oldest last |
| cluster2:run:R:queued        | set    | chunks whose message waits in the queue, or was rejected and is delayed |
| cluster2:run:R:claims        | hash   | chunk or "partial level:number" -> "since_ms incarnation node" of its worker |
| cluster2:run:R:attempts      | hash   | chunk or "partial level:number" -> "failed killed lost", counts of ends |
| cluster2:run:R:pieces        | hash   | done item by item: chunk -> items that are over, "chunk:item" -> its piece |
| cluster2:run:R:speculative   | hash   | chunk -> the slow node for whose sake a speculative copy was published |
| cluster2:run:R:batches       | hash   | batch -> "first chunk, number of chunks, trigger" (``records.Trigger``) |
| cluster2:run:R:parts:B       | hash   | chunk -> its part; only until batch B is aggregated |
| cluster2:run:R:partials      | hash   | "level:number" -> a partial result; these together are the result |
| cluster2:run:R:failures      | hash   | item -> why it is missing |
| cluster2:run:R:where         | hash   | item that is missing -> the node that did its chunk |
| cluster2:run:R:nodes         | hash   | node -> chunks it committed |
| cluster2:run:R:times         | hash   | node -> microseconds it took for these |
| cluster2:run:R:rejections    | hash   | node -> why it does not take this run's chunks |
| cluster2:run:R:events        | stream | the run's history, its last changes |
| cluster2:run:R:timeline      | stream | a line for each message whose chunks are settled, the last 10,000 |
| cluster2:run:R:shards        | hash   | of rounds: "0" -> what is told about the input, "1" and on -> its shards |
| cluster2:run:R:curve         | stream | of rounds: a line for each one that is closed, the last 10,000 |
| cluster2:run:R:opened        | stream | of rounds: a line for each batch that is entered, the last ones |
| cluster2:run:R:arrivals      | stream | of rounds: a line for each chunk that is settled, the last ones |
| cluster2:run:R:stays         | hash   | of rounds: chunk whose message a slot keeps -> chunk that it does without |
| cluster2:run:R:places        | hash   | of rounds: chunk -> where a node must be to claim it: a site |
| cluster2:run:R:ring:N:S      | string | where nodes meet that do shard S and others together in round N; a minute |
| cluster2:run:R:late          | set    | of rounds: chunks that were not settled when their round was closed |
| cluster2:run:R:publishing    | string | the process that publishes the run's model; for 10 minutes |
| cluster2:blobs:SCOPE         | hash   | sha256 -> bytes |
| cluster2:nodes               | hash   | node -> "incarnation joined seen phase report", by the node every second |
| cluster2:nodes:names         | hash   | node -> incarnation that has the name: two machines may have one name |
| cluster2:nodes:desired       | hash   | node -> "incarnation state": the state that people want of that incarnation |
| cluster2:nodes:paused        | hash   | node -> who has paused it, until somebody has it go on |
| cluster2:nodes:incarnations  | hash   | incarnation -> "seen phase node", until nothing of it is left |
| cluster2:places              | hash   | "blob_url", "bundle_dir": the cluster's, see ``nodes/places.py`` |
| cluster2:nodes:detector      | string | the failure detector that acts now; for a second or two |
| cluster2:nodes:losses        | string | how often a node was lost |
| cluster2:bundles             | hash   | bundle -> "last latest pinned" (``bundles.state.State``); "#revision" |
| cluster2:bundle:NAME         | hash   | version -> its manifest as JSON, without name and version |
| cluster2:bundle:NAME:digests | hash   | digest of the content -> version |
| cluster2:tokens              | hash   | token's name -> "made digest role until", until it is revoked |
| cluster2:tokens:used         | hash   | token's name -> when it was used last, in seconds since 1970, to the minute |
| cluster2:users               | hash   | user of the page -> role and more, as JSON (``accounts/store.py``) |
| cluster2:invitation:DIGEST   | string | who has made the invitation to join with that sha256; for ten minutes |
| cluster2:link:DIGEST         | string | the user who may enter by a link with that sha256, as JSON; for ten minutes |
| cluster2:run-link:DIGEST     | string | the run that a run link with that sha256 lets see, as JSON, until it ends |
| cluster2:run-links:R         | set    | the DIGESTs of a run's links, and of some that have ended |
| cluster2:session:DIGEST      | string | a browser that has entered, as JSON (``accounts/store.py``) |
| cluster2:sessions:USER       | set    | the DIGESTs of a user's sessions, and of some that have ended |
| cluster2:page                | string | the address of the page that runs; for a minute |
| cluster2:wanted              | zset   | "requirement holder" -> until when it is wanted, in seconds since 1970 |
| cluster2:delayed             | zset   | queue and message -> when it goes there, in ms since 1970 by Redis's clock |
| cluster2:waiting             | zset   | run whose chunks wait for nodes -> until when it counts, in ms since 1970 |
| cluster2:due                 | zset   | run whose outbox waits -> when nodes look at it, in ms since 1970 |
| cluster2:revision            | string | counts changes of what is wanted and of bundles: nodes look at a new one |
| cluster2:services            | hash   | service -> what people want of it, as JSON (``services/desired.py``) |
| cluster2:services:looked     | string | nodes have looked which replicas are connected; for half a second |
| cluster2:service:S:leases    | zset   | replica of service S -> until when it counts, in ms since 1970 |
| cluster2:service:S:replicas  | hash   | replica -> what it tells of itself, as JSON (``services/replicas.py``) |
| cluster2:service:S:problems  | hash   | node -> why it has no replica of S, for people |
| cluster2:service:S:asked     | zset   | version that a request named -> when it did last, in seconds since 1970 |
| cluster2:traffic             | hash   | gateway -> the requests through it now, as JSON (``services/traffic.py``) |
| cluster2:requests:TARGET     | list   | requests for a version of a service that no replica has taken yet |
| cluster2:answers:GATEWAY     | list   | answers that a gateway has not taken yet |
| cluster2:payload:GATEWAY:N   | string | the bytes of its request N, where they are many; until its deadline |
| cluster2:writable            | string | written, for a second, to see whether Redis takes writes |
| cluster2:unacked:INCARNATION | hash   | messages that an incarnation holds (kombu's; beside it `:index`, `:mutex`) |

Scopes of blobs: ``runs/R/in/<chunk>`` the input of a chunk, dropped when it is settled;
``runs/R/parts/<batch>`` large parts, dropped when their batch is aggregated;
``runs/R/partials/<level>/<number>`` large partials, dropped when they are aggregated themselves;
of rounds ``runs/R/data/<number>`` a shard, ``runs/R/state/<round>`` the state before that round and
``runs/R/view/<version>`` what nodes read of it, dropped with the run;
``bundles/<name>/<random>`` the pieces of one version of a bundle, dropped when that is removed.

**The number in the prefix** is that of the format (``FORMAT``). Two versions of this program with different numbers can
use one Redis: neither reads, counts, serves or removes what the other one wrote. An older node would drop a message of
a task that it does not know, and an older master would coordinate a run whose row it misreads.

- The number stands before the first separator of keys and of queues. `cluster:2:…` and `cluster.2.…` would not do: an
  older version sweeps queues by the pattern ``cluster.*@*``. In `redis-cli --scan --pattern` and in an ACL, `cluster2*`
  is this version, and `cluster*` each one.
- People do not type it: `cluster worker -Q ocr` serves the queue ``cluster2.ocr.2``, of the version of the job that is
  installed there, and Flower, events and logs call the task ``cluster.ocr``.
- What a node holds unacknowledged stands under ``OURS``, so only the failure detector of its own version gives it back.
- Celery's own names stay as they are, because its forms do not depend on our version: counters of chords have random
  names; remote control and events (``celery.pidbox``, ``celeryev``) reach the nodes of all versions, so that
  `celery inspect ping` and Flower show those that are still to be updated.
- Scopes in a blob store that is not Redis have no number: ids of runs are random, and a model taken over keeps its
  scope.

What the version before has left is read by ``older``, to name its nodes and runs, and by ``RedisBundles.take_over``:
`cluster:nodes`, `cluster:runs`, `cluster:run:R`, `cluster:bundles`, `cluster:bundle:NAME`, `cluster:blobs:SCOPE`.
"""

from __future__ import annotations

import re

FORMAT = 2
"""Counts the forms of keys, rows and messages; the next one that an older version cannot read has the next number."""
OURS = f"cluster{FORMAT}:"
QUEUE = f"cluster{FORMAT}."
IN_LUA = f"local OURS, QUEUE = '{OURS}', '{QUEUE}'\n"
"""The prefixes as local variables of Lua, put before a prelude."""
OLDER_VERSION = "0.1"
"""The version of this program with the format before this one; ``older`` reads what it left."""
OLDER = "cluster:"
OLDER_NODES = f"{OLDER}nodes"
OLDER_RUNS = f"{OLDER}runs"
OLDER_BUNDLES = f"{OLDER}bundles"
RUNS = f"{OURS}runs"
NODES = f"{OURS}nodes"
NAMES = f"{OURS}nodes:names"
DESIRED = f"{OURS}nodes:desired"
PAUSED = f"{OURS}nodes:paused"
INCARNATIONS = f"{OURS}nodes:incarnations"
DETECTOR = f"{OURS}nodes:detector"
LOSSES = f"{OURS}nodes:losses"
PLACES = f"{OURS}places"
WANTED = f"{OURS}wanted"
DELAYED = f"{OURS}delayed"
WAITING = f"{OURS}waiting"
DUE = f"{OURS}due"
REVISION = f"{OURS}revision"
WRITABLE = f"{OURS}writable"
TOKENS = f"{OURS}tokens"
TOKENS_USED = f"{OURS}tokens:used"
USERS = f"{OURS}users"
PAGE = f"{OURS}page"
SERVICES = f"{OURS}services"
LOOKED = f"{OURS}services:looked"
TRAFFIC = f"{OURS}traffic"
BUNDLES = f"{OURS}bundles"
OF_RUN = (
    "done", "chunks", "expected", "claims", "attempts", "speculative", "batches", "partials",
    "failures", "where", "nodes", "times", "rejections", "events", "publishing", "outbox", "queued", "pieces",
    "shards", "curve", "opened", "arrivals", "late", "stays", "places", "timeline",
)  # fmt: skip
"""The keys of a run besides its own hash and the parts of its batches."""


def queue(capability: str) -> str:
    """Celery's list of the messages for a capability (``Job.requirement``): only nodes that serve it take them."""
    return QUEUE + capability


def capability_of(queue: str) -> str:
    """The capability whose messages are in a queue; "" for a queue that is not ours."""
    return queue.removeprefix(QUEUE) if queue.startswith(QUEUE) else ""


def run(run: str, what: str = "") -> str:
    """A key of one run; ``what`` is one of the names above, empty for the run's own hash."""
    return f"{OURS}run:{run}:{what}" if what else f"{OURS}run:{run}"


def parts(run: str, batch: int) -> str:
    """The parts of one batch."""
    return f"{OURS}run:{run}:parts:{batch}"


def ring(run: str, round_: int, shard: int) -> str:
    """Where the nodes meet that do some shards of a round together, ``shard`` the first of them."""
    return f"{OURS}run:{run}:ring:{round_}:{shard}"


def link(digest: str) -> str:
    """The user who may enter the page by the link whose secret has this digest."""
    return f"{OURS}link:{digest}"


def run_link(digest: str) -> str:
    """The run that the run link whose secret has this digest lets see."""
    return f"{OURS}run-link:{digest}"


def run_links(run: str) -> str:
    """The digests of a run's links."""
    return f"{OURS}run-links:{run}"


def invitation(digest: str) -> str:
    """Who has made the invitation to join whose secret has this digest."""
    return f"{OURS}invitation:{digest}"


def session(digest: str) -> str:
    """A session on the page, whose secret has this digest."""
    return f"{OURS}session:{digest}"


def sessions(user: str) -> str:
    """The digests of a user's sessions on the page."""
    return f"{OURS}sessions:{user}"


def unacked(incarnation: str) -> str:
    """The messages that an incarnation of a node holds."""
    return f"{OURS}unacked:{incarnation}"


def leases(service: str) -> str:
    """The replicas that a service has."""
    return f"{OURS}service:{service}:leases"


def replicas(service: str) -> str:
    """What these replicas tell of themselves."""
    return f"{OURS}service:{service}:replicas"


def problems(service: str) -> str:
    """Why nodes have no replica of a service."""
    return f"{OURS}service:{service}:problems"


def asked(service: str) -> str:
    """The versions that requests to a service named lately."""
    return f"{OURS}service:{service}:asked"


def requests(target: str) -> str:
    """The requests for a version of a service: see ``names.Target``."""
    return f"{OURS}requests:{target}"


def answers(gateway: str) -> str:
    """The answers for a gateway."""
    return f"{OURS}answers:{gateway}"


def payload(gateway: str, request: int) -> str:
    """The bytes of one large request."""
    return f"{OURS}payload:{gateway}:{request}"


def blobs(scope: str) -> str:
    """The blobs of one scope."""
    return f"{OURS}blobs:{scope}"


def bundle(name: str) -> str:
    """The versions of a bundle."""
    return f"{OURS}bundle:{name}"


def bundle_digests(name: str) -> str:
    """Which version of a bundle has which content."""
    return f"{OURS}bundle:{name}:digests"


def older_run(run: str) -> str:
    """A run's own hash, as the version before called it."""
    return f"{OLDER}run:{run}"


def older_bundle(name: str) -> str:
    """The versions of a bundle, as the version before called them."""
    return f"{OLDER}bundle:{name}"


def older_bundle_digests(name: str) -> str:
    """Which version of a bundle has which content, as the version before called it."""
    return f"{OLDER}bundle:{name}:digests"


def older_blobs(scope: str) -> str:
    """The blobs of one scope, as the version before called them."""
    return f"{OLDER}blobs:{scope}"


def bundle_scope(name: str, token: str) -> str:
    """Where the pieces of one push of a bundle lie."""
    return f"bundles/{name}/{token}"


def is_bundle_scope(scope: str, name: str) -> bool:
    """Whether a scope, which anything may have written, is one of that bundle."""
    return re.fullmatch(rf"{re.escape(bundle_scope(name, ''))}[0-9a-f]{{16,64}}", scope) is not None


def input_scope(run: str, chunk: int) -> str:
    """Where the input of a chunk lies."""
    return f"runs/{run}/in/{chunk}"


def parts_scope(run: str, batch: int) -> str:
    """Where the large parts of a batch lie."""
    return f"runs/{run}/parts/{batch}"


def partial_scope(run: str, level: int, number: int) -> str:
    """Where a large partial lies."""
    return f"runs/{run}/partials/{level}/{number}"


def data_scope(run: str, shard: int) -> str:
    """Where the items of a shard lie, for all rounds; 0 is what is told about the whole input."""
    return f"runs/{run}/data/{shard}"


def state_scope(run: str, round_: int) -> str:
    """Where the state lies from which a round begins."""
    return f"runs/{run}/state/{round_}"


def view_scope(run: str, version: int) -> str:
    """Where one version of what nodes read of the state lies."""
    return f"runs/{run}/view/{version}"


def run_folder(run: str) -> str:
    """Return the folder above all scopes of one run."""
    return f"runs/{run}"


def scope_of(key: str) -> str:
    """Which scope a key that ``blobs`` made belongs to."""
    return key.removeprefix(blobs(""))


def run_of(key: str) -> str:
    """Which run a key that ``run`` or ``parts`` made belongs to."""
    return key.removeprefix(run("")).partition(":")[0]
