"""What we use of libraries without their promise: a new version without it must show here, not on a node."""

from __future__ import annotations

import inspect
from contextlib import closing

import redis
from celery import Celery, signals
from kombu import pidbox
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from cluster import celery_app, settings


def test_kombus_channel_still_asks_redis_the_way_we_watch() -> None:
    for name in ("_brpop_start", "_brpop_read", "_in_poll", "conn_or_acquire", "_connparams", "_do_restore_message"):
        assert hasattr(kombu_redis.Channel, name), name
    for name in ("_delivered", "_flush"):
        assert name in inspect.getsource(virtual.QoS), name
    for name in ("restore_by_tag", "pipe_or_acquire", "unacked_key", "ack", "append"):
        assert hasattr(kombu_redis.QoS, name), name
    assert "can_consume" in inspect.getsource(kombu_redis.MultiChannelPoller)


def test_kombu_still_reads_messages_where_we_check_them() -> None:
    """What kombu decodes by another way would reach Celery unchecked."""
    source = inspect.getsource(kombu_redis.Channel)
    assert source.count("loads(") == 4  # _restore (which nothing here calls), _receive_one, _brpop_read, _get
    assert "self.client.parse_response" in inspect.getsource(kombu_redis.Channel._brpop_read)
    assert "self._handle_message(" in inspect.getsource(kombu_redis.Channel._receive_one)
    assert "self._create_client(" in inspect.getsource(kombu_redis.Channel.client.func)
    assert "self.handle(" in inspect.getsource(pidbox.Node.handle_cast)
    assert "self._get_backend()" in inspect.getsource(Celery.backend.fget)


def test_redis_still_connects_in_a_function_of_its_connection() -> None:
    """By its name ``Patience`` tells a connection that is made from an answer that is read."""
    assert redis.Connection.connect.__qualname__.partition(".")[0].endswith("Connection")


def test_however_many_apps_a_process_builds_they_are_heard_of_once() -> None:
    config = settings.load(broker_url="redis://127.0.0.1:1")
    counts = []
    for _ in range(3):
        with closing(celery_app.build(config)):
            counts.append(len(signals.celeryd_init.receivers) + len(signals.worker_process_init.receivers))
    assert len(set(counts)) == 1
