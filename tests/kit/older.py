"""What version 0.1 had written in Redis while it worked: copied from a trial of it with two nodes, runs and models."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import redis

NODE, GONE, LEFT = "old@pc", "away@pc", "left@pc"
RUNNING, ORPHAN, DONE = "measure-3093ce9c", "measure-51c0ffee", "tagged-58cab061"
REPORT = (
    '{"slots":1,"slots_allowed":1,"held_back":"","busy":1,"done":9,"refused":0,"cores":2,'
    '"memory_total_bytes":25276510208,"memory_available_bytes":22978957312,"load":6.8603515625,'
    '"jobs":["measure","ocr","tagged","tagged@office:1.4151d5f5","wordcount"],'
    '"known":["measure","ocr","tagged","wordcount"],"missing":{},"bundles":["office:1"],'
    '"versions":{"cluster":"0.1.0","celery":"5.7.0","redis":"8.1.0"}}'
)
RUN = {
    "job": "measure", "version": "", "label": "measure", "options": '{"seconds":2.0,"trace":"","chunk_size":1}',
    "state": "running", "submitter": "pc:17540", "started_at": "1795964564.566777", "chunks_published": "6",
    "windows_published": "2", "soft_time_limit": "600", "time_limit": "630", "leases": "1", "coordinator": "pc:17540",
    "role": "splitter", "fence": "1 pc:17540", "share": "1.0", "slots": "1", "share_until_ms": "1795964570591",
    "chunks_read": "6", "items_read": "6", "bytes_published": "6", "items_settled": "0", "chunks_total": "6",
    "windows_total": "2", "items_total": "6", "passed_over": "{}",
}  # fmt: skip
MESSAGE = json.dumps({
    "body": "W1t7InJ1biI6Im1lYXN1cmUtMzA5M2NlOWMiLCJjaHVua3MiOlswXX1dLHt9LHt9XQ==", "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": {"lang": "py", "task": "cluster.measure", "id": "measure-3093ce9c.0", "shadow": None},
    "properties": {
        "delivery_mode": 2, "delivery_tag": "6d9e3251-8f0e-491e-86ff-091396e97432", "priority": 0,
        "delivery_info": {"exchange": "", "routing_key": "cluster.measure"}, "body_encoding": "base64",
    },
})  # fmt: skip
TAGS = {1: b"red", 2: b"blue"}
SCOPES = {1: "bundles/office/75d69a50eb819a4c", 2: "bundles/office/da774e7c9421f079"}
DIGESTS = {
    1: "4151d5f55477045db1c2d312f29e7bf3f103cd6aed61a92275c81ed7b7d671b9",
    2: "18bec69a79508dd0c73a73a859b5997396ca814b2c04d1e0380ac7934ef7821d",
}
CREATED = {1: "2026-11-29T15:02:36Z", 2: "2026-11-29T15:02:38Z"}


def at_work(client: redis.Redis) -> None:
    """A node that is there, one that is gone and one that has left; a run that is led, one that is not, one that ended;
    a message in the queue and one that a node holds.
    """
    now: Any = client.time()
    now_s = now[0] + now[1] / 1e6
    for name, start, seen_s, phase in (
        (NODE, "ab22da0d05623f98", now_s, "here"),
        (GONE, "bb22da0d05623f98", now_s - 60, "here"),
        (LEFT, "cb22da0d05623f98", now_s, "left"),
    ):
        client.hset("cluster:nodes", name, f"{start} {now_s - 90:.6f} {seen_s:.6f} {phase} {REPORT}")
        client.hset("cluster:nodes:names", name, start)
        client.hset("cluster:nodes:starts", start, f"{seen_s:.6f} {phase} {name}")
    for run, more in (
        (RUNNING, {"lease_until_ms": str(round(now_s * 1000 + 60_000))}),
        (ORPHAN, {"lease_until_ms": "1795964571591"}),
        (DONE, {"state": "done", "finished_at": "1795964562.700", "lease_until_ms": "1795964571591"}),
    ):
        row: dict[Any, Any] = {**RUN, **more}
        client.hset(f"cluster:run:{run}", mapping=row)
    client.zadd("cluster:runs", {DONE: 1795964562.058243, ORPHAN: 1795964563.0, RUNNING: 1795964564.566777})
    client.zadd("cluster:demand", {f"tagged@office:1.4151d5f5 {DONE}": 1795964562.0})
    client.lpush("cluster.measure", MESSAGE)
    client.hset("cluster:unacked:bb22da0d05623f98", "tag", json.dumps([json.loads(MESSAGE), "", "cluster.measure"]))
    client.zadd("cluster:unacked:bb22da0d05623f98:index", {"tag": now_s - 60})


def ended(client: redis.Redis) -> None:
    """As it is once its nodes have stopped and its runs are over."""
    client.delete("cluster:nodes", "cluster:nodes:starts")
    for run in (RUNNING, ORPHAN):
        client.hset(f"cluster:run:{run}", "state", "done")


def pushed(client: redis.Redis, *, pieces: bool = True) -> None:
    """Two versions of a model, pinned to the first; without ``pieces`` these lie in another blob store."""
    for version, tag in TAGS.items():
        sha256 = hashlib.sha256(tag).hexdigest()
        files = [{"path": "tag.txt", "sha256": sha256, "size_bytes": len(tag), "pieces": [sha256]}]
        row = {
            "job": "tagged", "files": files, "requirements": [], "parameters": {}, "created": CREATED[version],
            "by": "anna@pc", "digest": DIGESTS[version], "scope": SCOPES[version],
        }  # fmt: skip
        client.hset("cluster:bundle:office", str(version), json.dumps(row, separators=(",", ":")))
        client.hset("cluster:bundle:office:digests", DIGESTS[version], str(version))
        if pieces:
            client.hset(f"cluster:blobs:{SCOPES[version]}", sha256, tag)
    client.hset("cluster:bundles", mapping={"office": "2 2 1", "#revision": "3"})
    client.set("cluster:revision", "4")
