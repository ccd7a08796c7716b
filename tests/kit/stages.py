"""A cluster with a page, a worker and something to look at, as the page's tests and pictures have it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from cluster import settings
from cluster.client import Client
from cluster.roles import Role
from tests.kit import pages
from tests.kit.addresses import Places
from tests.kit.programs import ROOT, RedisServer, Worker
from tests.page import sending

EXAMPLES = ROOT / "deploy" / "examples"
TIMEOUT_S = 120
DAMAGED = ("2019/torn.jpg", "2021/half a scan.png")
"""Names of pictures that nobody can read."""
SCRIPT = "<img src=x onerror=alert(1)>"
HOSTILE = (
    f"{SCRIPT}.png", '"><svg onload=alert(1)>.png', "'-alert(1)-'.png", "{{7*7}}.png",
    "javascript:alert(1).png", "invoice\u202egnp.exe.png",
)  # fmt: skip
"""Names that run as a program, or look like another name, on a page that takes them as they are."""


class Stage(NamedTuple):
    """The cluster, its page and its one node."""

    page: pages.Page
    redis: RedisServer
    worker: Worker
    folder: Path

    @property
    def client(self) -> Client:
        return self.page.web.client

    def node(self, name: str, slots: int = 1, **more: str) -> Worker:
        """Another node, not started yet."""
        return Worker(name, self.redis.url, self.folder / name, "-c", str(slots), **more)


@contextmanager
def staged(folder: Path, name: str = "office-1", slots: int = 2, **more: str) -> Iterator[Stage]:
    """A cluster of one node with so many slots; ``more`` is of its environment."""
    with (
        RedisServer(folder / "redis") as redis,
        Worker(name, redis.url, folder / name, "-c", str(slots), **more) as worker,
        Client(settings.Settings(broker_url=redis.url)) as client,
        pages.shown(client, folder / "web") as page,
    ):
        yield Stage(page, redis, worker, folder)


def read(stage: Stage, damaged: Sequence[str] = DAMAGED, text: str = "") -> str:
    """The text of the example pictures, beside damaged ones of these names and one of that text; gives the run."""
    folder = stage.folder / "pictures"
    shutil.copytree(EXAMPLES / "images", folder)
    for name in damaged:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((EXAMPLES / "images" / "poem.png").read_bytes()[:2000])
    if text:
        page = Image.new("L", (1000, 120), 255)
        ImageDraw.Draw(page).text((20, 30), text, 0, ImageFont.load_default(40))
        page.save(folder / "text.png")
    return sent(stage, "ocr", folder)


def count(stage: Stage, text: str = "") -> str:
    """The words of some texts."""
    folder = stage.folder / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text("the quick brown fox and the lazy dog\n" * 10 + f"{text} " * number)
    return sent(stage, "wordcount", folder)


def learn(stage: Stage, person: str = "rosa") -> str:
    """The people of the examples, rosa by another name, as the model ``office``."""
    folder = stage.folder / "people"
    shutil.copytree(EXAMPLES / "people", folder)
    (folder / "rosa").rename(folder / person)
    run = stage.client.submit("faces-train", folder, model="office")
    run.result(TIMEOUT_S)
    return run.id


def recognise(stage: Stage) -> str:
    """The people on the pictures of a party; wants ``learn`` before."""
    return sent(stage, "faces", EXAMPLES / "party", model="office", describe=True)


def sent(stage: Stage, job: str, folder: Path, **options: Any) -> str:
    """A run of the user ``maria``, who sends the files by the page, to its end."""
    run = begun(stage, job, folder, **options)
    stage.client.run(run).result(TIMEOUT_S)
    return run


def begun(stage: Stage, job: str, folder: Path, **options: Any) -> str:
    """The same, while it goes on."""
    maria = stage.page.visitor(Role.SUBMITTER, "maria")
    upload = sending.begin(maria, job=job)
    answer = sending.send(maria, upload, sending.bundle(sending.of_folder(folder).items()))
    assert answer.status_code == 200, answer.text
    assert maria.ask("POST", f"/api/uploads/{upload}/close").status_code == 200
    return sending.run(maria, upload, job, **options)


def read_hostile(stage: Stage) -> str:
    """``read`` with names and a text that would run on a page that lets them."""
    return read(stage, HOSTILE, SCRIPT)


def played(stage: Stage, hostile: str = "") -> Places:
    """Have something of each kind done; where ``hostile`` is a run of ``read_hostile``, all with names like those."""
    runs = [hostile or read(stage), count(stage, SCRIPT if hostile else "")]
    learned = learn(stage, SCRIPT if hostile else "rosa")
    runs.append(recognise(stage))
    uploads = [stage.client.run(run).status(failures=False).upload for run in runs[:1]]
    return {
        "run": runs[:1], "/runs/{run}/results": [f"/runs/{run}/results" for run in runs],
        "upload": list(filter(None, uploads)), "ref": ["office"], "bundle": ["office", "nobody"],
        "node": [stage.client.nodes()[0].name], "/runs/{run}/training": [f"/runs/{learned}/results"],
        "/runs/{run}/text": [f"/runs/{runs[0]}/text?item=invoice.png"],
    }  # fmt: skip
