"""What Celery shows of its settings, on a terminal, in Flower and to whoever asks a node, holds no password."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from celery.bin.base import CLIContext
from celery.bin.graph import graph
from click.testing import CliRunner

from cluster import celery_app, settings
from cluster.worker import control

SENTINELS = "sentinel://:s3cret@127.0.0.1:1;sentinel://:s3cret@127.0.0.1:2/0"


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("redis://:s3cret@127.0.0.1:1/0", {}),
        ("rediss://user:s3cret@127.0.0.1:1/0?ssl_keyfile=/none&ssl_password=s3cret2", {}),
        (SENTINELS, {"sentinel_password": "s3cret3"}),
    ],
)
def test_no_password_shows_in_what_celery_tells(
    url: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(celery_app.build(settings.load(broker_url=url, **more))) as app:
        connection = app.connection()
        info = connection.info()
        info.pop("password")  # Celery does that, too
        answer = {"node@pc": control.stats(SimpleNamespace(controller=SimpleNamespace(stats=lambda: {"broker": info})))}
        answer["node@pc"]["pool"] = {"max-concurrency": 1}
        monkeypatch.setattr(app.control, "inspect", lambda: SimpleNamespace(stats=lambda: answer))
        drawn = CliRunner().invoke(graph, ["workers"], obj=CLIContext(app=app, no_color=True, workdir=None))
        told = [
            app.bugreport(),
            app.conf.humanize(with_defaults=True),
            str(app.conf.table(with_defaults=True)),
            str(app.conf.result_backend),
            connection.as_uri(),
            app.backend.as_uri(),
            repr(app.cluster_settings),
            str(answer),
            drawn.output,
        ]
    assert "node@pc" in drawn.output
    assert not [text for text in told if "s3cret" in text]
