"""What a node tells of itself each second, and what it says when nobody listens."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import TimeoutError as NoAnswer

from cluster import catalog, celery_app, keys, names, redis_outage, settings
from cluster.blobs.measured import Meter
from cluster.messaging import delays
from cluster.nodes.registry import Heard, NodeReport
from cluster.worker import heartbeat
from cluster.worker.heartbeat import Heartbeat
from cluster.worker.politeness import Allowance
from cluster.worker.provisioner import Served
from cluster.worker.room import Room

CAPABILITY = "picky@saw"


class Told:
    """Stands in for the registry: notes what it is told, or raises what it is to raise."""

    def __init__(self) -> None:
        self.reports: list[NodeReport] = []
        self.problems: list[redis.RedisError | None] = []
        self.releases = 0
        self.paused_by = ""
        self.on_heartbeat: Callable[[], object] = lambda: None

    def release(self, client: redis.Redis) -> int:
        self.releases += 1
        return 0

    def heartbeat(self, name: str, incarnation: str, phase: str, report: NodeReport) -> Heard:
        self.on_heartbeat()
        if self.problems and (problem := self.problems.pop(0)):
            raise problem
        self.reports.append(report)
        return Heard("", 0, self.paused_by)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(heartbeat, "Registry", lambda client: told)
    monkeypatch.setattr(heartbeat, "is_full", lambda client: False)
    monkeypatch.setattr(delays, "release", told.release)
    return told


@pytest.fixture
def consumer() -> Iterator[Any]:
    """As much of Celery's as a heartbeat looks at."""
    with closing(celery_app.build(settings.load(broker_url="redis://127.0.0.1:1"))) as app:
        queue = keys.queue("picky")
        app.amqp.queues.select(queue)
        reading = SimpleNamespace(memory_total_bytes=2, memory_available_bytes=1)
        admission = SimpleNamespace(
            slots=1, allowance=Allowance(1), limit=1, reading=reading, room=Room(3, 1), working=[""], paused_by="",
        )  # fmt: skip
        yield SimpleNamespace(
            app=app,
            hostname="a@test",
            event_dispatcher=None,
            cluster_admission=admission,
            task_consumer=SimpleNamespace(
                add_queue=lambda queue: None,
                consume=lambda: None,
                channel=SimpleNamespace(demand_answer=lambda: None),
            ),
        )


@pytest.fixture
def step(consumer: Any, told: Told, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    provisioner = SimpleNamespace(served=Served(), heard=lambda revision: None, unfit="")
    monkeypatch.setattr(Heartbeat, "client", None, raising=False)
    monkeypatch.setattr(Heartbeat, "provisioner", provisioner, raising=False)
    keeper = SimpleNamespace(start=lambda node, admission: None, drain=lambda: None, end=lambda: None)
    monkeypatch.setattr(Heartbeat, "keeper", keeper, raising=False)
    monkeypatch.setattr(Heartbeat, "news", redis_outage.Outage("this Redis"), raising=False)
    monkeypatch.setattr(Heartbeat, "config", settings.Settings(site="lab"), raising=False)
    return Heartbeat(consumer)


def test_a_capability_that_can_be_served_is_told_with_the_next_heartbeat(
    step: Heartbeat, consumer: Any, told: Told
) -> None:
    step.send(consumer)
    step.provisioner.served = Served(capabilities=frozenset({CAPABILITY}))
    step.send(consumer)
    assert [CAPABILITY in report.jobs for report in told.reports] == [False, True]


def test_a_node_tells_at_once_that_people_have_paused_it(
    step: Heartbeat, consumer: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    step.send(consumer)
    told.paused_by = "maria"
    with caplog.at_level(logging.INFO, "cluster.worker.heartbeat"):
        step.send(consumer)
        told.problems.append(Refused())
        step.send(consumer)
        assert consumer.cluster_admission.paused_by == "maria", "it stays paused while Redis is away"
        told.paused_by = ""
        step.send(consumer)
    assert [report.paused_by for report in told.reports] == ["", "", "maria", "maria", ""]
    assert [text for text in caplog.messages if "work" in text] == [
        "paused by maria: takes no work", "goes on: takes work again"
    ]  # fmt: skip


def test_a_node_tells_all_jobs_that_it_knows(step: Heartbeat, consumer: Any, told: Told) -> None:
    step.send(consumer)
    assert told.reports[0].known == sorted(job.capability for job in catalog.jobs().values())
    assert told.reports[0].jobs == ["picky"]


def test_a_heartbeat_tells_the_site_and_the_measured_links(
    step: Heartbeat, consumer: Any, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, meter, now_s = "redis://:secret@box", Meter(), [0.0]
    config = settings.Settings(broker_url=SecretStr("redis://127.0.0.1:1"), lan="allow", edge_url=SecretStr(url))
    monkeypatch.setattr(Heartbeat, "config", config)
    monkeypatch.setattr(heartbeat, "HUB", meter)
    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    meter.sent(2**20, 0.5)

    def pass_time(took_s: float) -> None:
        now_s[0] += took_s

    step.find_site()
    for took_s in (0.2, 0.9, 0.3, 0.0):
        told.on_heartbeat = functools.partial(pass_time, took_s)
        step.send(consumer)
    first, last = told.reports[0], told.reports[-1]
    assert (last.site, last.lan, last.edge) == ("local", "127.0.0.1", names.edge(url))
    assert (last.links.up_bytes_s, last.links.down_bytes_s) == (2**21, None)
    assert first.links.rtt_s is None
    assert last.links.rtt_s == pytest.approx(0.3)  # the median
    assert last.devices[0].startswith("cpu x")


def test_a_node_that_allows_no_peers_tells_no_address(step: Heartbeat, consumer: Any, told: Told) -> None:
    step.send(consumer)
    assert (told.reports[0].lan, told.reports[0].edge) == ("", "")


def test_each_heartbeat_releases_delayed_messages_that_are_due(step: Heartbeat, consumer: Any, told: Told) -> None:
    step.send(consumer)
    step.send(consumer)
    assert told.releases == 2


def test_one_answer_that_is_late_is_no_outage(
    step: Heartbeat, consumer: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    told.problems = [NoAnswer("slow"), None, NoAnswer("slow"), None]
    for _ in range(4):
        step.send(consumer)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("problems", [[NoAnswer("slow"), NoAnswer("slow")], [Refused("nobody is there")]])
def test_an_outage_and_its_end_are_said_once(
    problems: list[redis.RedisError | None],
    step: Heartbeat,
    consumer: Any,
    told: Told,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told.problems = [*problems, None, None]
    for _ in range(len(problems) + 2):
        step.send(consumer)
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    [away, back] = [record.message for record in warned if record.name == redis_outage.__name__]
    assert "does not answer" in away
    assert "is back" in back


def test_a_node_that_redis_does_not_hear_takes_on_no_more(step: Heartbeat, consumer: Any, told: Told) -> None:
    told.problems = [Refused("nobody is there")]
    step.send(consumer)
    step.provisioner.served = Served(capabilities=frozenset({CAPABILITY}))
    step.send(consumer)
    assert keys.queue(CAPABILITY) not in consumer.app.amqp.queues.consume_from
    step.send(consumer)
    assert keys.queue(CAPABILITY) in consumer.app.amqp.queues.consume_from


def test_a_node_that_may_not_serve_a_capability_is_heard_of_all_the_same(
    step: Heartbeat, consumer: Any, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise redis.ResponseError("NOPERM")

    step.provisioner.served = Served(capabilities=frozenset({CAPABILITY}))
    monkeypatch.setattr(consumer.task_consumer, "consume", refuse)
    with pytest.raises(redis.ResponseError):
        step.send(consumer)
    assert len(told.reports) == 1


def test_a_worker_that_never_was_connected_has_nothing_to_tell(step: Heartbeat, consumer: Any, told: Told) -> None:
    del consumer.cluster_admission.reading  # admission has not looked yet
    step.shutdown(consumer)
    assert told.reports == []
