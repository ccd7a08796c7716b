"""A run of an upload, on a cluster with a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster import settings
from cluster.client import Client
from cluster.embedded import LocalCluster
from cluster.roles import Role
from tests.kit.pages import Page, Visitor, shown
from tests.kit.programs import ROOT
from tests.kit.waiting import wait_until
from tests.page import sending

IMAGES = ROOT / "deploy" / "examples" / "images"
MINUTE = 60.0


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a cluster with a worker."""
    with LocalCluster() as local:
        local.start_worker(slots=1)
        with Client(settings.Settings(broker_url=local.url)) as c, shown(c, tmp_path_factory.mktemp("web")) as page:
            yield page


@pytest.fixture(scope="module")
def maria(working: Page) -> Visitor:
    return working.visitor(Role.SUBMITTER, "maria")


def test_a_run_reads_an_upload_while_it_grows(working: Page, maria: Visitor) -> None:
    files = {f"{number:03}.txt": b"some words " * number for number in range(1, 41)}
    upload = sending.begin(maria, files=len(files), job="wordcount")
    some, rest = list(files.items())[:30], list(files.items())[30:]
    assert sending.send(maria, upload, sending.bundle(some)).json()["files"] == 30
    run = maria.ask(
        "POST", "/api/runs", json={"job": "wordcount", "upload": upload, "options": {"chunk_size": 500}}
    ).json()["run"]
    found = working.web.client.run(run)
    wait_until("first results", lambda: found.status().items_done > 0, timeout_s=MINUTE)
    assert found.status().items_total == len(files)
    assert sending.send(maria, upload, sending.bundle(rest)).json()["files"] == 40
    assert maria.ask("POST", f"/api/uploads/{upload}/close").json()["runs"] == [run]
    assert found.wait(MINUTE).state == "done"
    words = sum(range(1, 41))
    assert found.result() == {"some": words, "words": words}
