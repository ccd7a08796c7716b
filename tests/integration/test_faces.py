"""People recognised in pictures, on real workers, by models that reach them by themselves."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cluster import catalog, errors, keys, settings
from cluster.bundles.content import Content
from cluster.ledger.status import Status
from cluster.nodes.registry import Node
from cluster.stores import Stores
from tasks.faces import draw
from tests.kit import faces
from tests.kit.programs import DATA, RedisServer, Worker, admin, cluster, start_cluster
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from PIL import Image

if problem := catalog.get("faces").why_not_here():
    pytest.skip(problem, allow_module_level=True)

EXAMPLES = {"garden.jpg": ["kim", "ada", "unknown"], "kitchen.jpg": ["rosa", "unknown", "gus"]}
"""Who is on the example pictures from left to right; the other two nobody has learned."""
PEOPLE = {"ada": 5, "gus": 5, "kim": 5, "rosa": 5}
TIMEOUT_S = 120
Found = Mapping[str, Sequence[Mapping[str, Any]]]


class Nodes(NamedTuple):
    """Two nodes, whose cluster has the example people as ``office:1``."""

    url: str
    folder: Path


def node(name: str, url: str, folder: Path, **more: str) -> Worker:
    """A node with a cache of its own."""
    return Worker(name, url, folder, "-c", "1", CLUSTER_CACHE_DIR=str(folder / f"cache-{name}"), **more)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    with RedisServer(folder / "redis") as server, node("one", server.url, folder), node("two", server.url, folder):
        found = Nodes(server.url, folder)
        report = train(found, "office", faces.FOLDER / "people")
        assert (report["model"], report["people"]) == ("office:1", PEOPLE)
        yield found
        for name in ("one", "two"):
            assert "Traceback" not in (folder / f"{name}.log").read_text()


@pytest.fixture
def stores(nodes: Nodes) -> Stores:
    return Stores.connect(settings.load(broker_url=nodes.url))


@pytest.fixture
def name() -> str:
    """A bundle of this test's own."""
    return f"team-{secrets.token_hex(4)}"


def train(nodes: Nodes, name: str, *more: str | Path) -> dict[str, Any]:
    done = cluster("submit", "-q", "--job", "faces-train", *more, "--model", name, "--broker", nodes.url,
                   timeout_s=TIMEOUT_S)  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def learned(*folders: Path) -> Content:
    """A bundle that knows the people in ``folders``, made in this process."""
    model = catalog.get("faces-train").run_locally(folders)
    return Content("faces", model.files, (), model.parameters)


def command(nodes: Nodes, *more: str | Path) -> list[str | Path]:
    return ["submit", "-q", "--job", "faces", *more, "--broker", nodes.url]


def labels(told: str) -> dict[str, list[str]]:
    """Picture -> who is on it, from left to right, of a result as JSON."""
    found: Found = json.loads(told)
    return {name: [face["label"] for face in here] for name, here in found.items()}


def begun(stores: Stores) -> Status:
    """The run that is going on, once something of it is done."""

    def found() -> Status | None:
        return next(
            (run for run in stores.ledger.runs.latest(5) if run.state == "running" and run.chunks_settled), None
        )

    run = wait_until("a run has begun", found)
    assert run
    return run


def crowd(folder: Path, people: Sequence[str], count: int) -> Path:
    """So many pictures of the same people, in all orders; each takes some 0.2 s."""
    orders = list(permutations(people))
    for number, order in enumerate(orders):
        (folder / f"{number}").mkdir(parents=True)
        faces.cut(faces.script().draw_party(order)[0], folder / f"{number}", "", count // len(orders))
    return folder


def pictures(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def opened(path: Path) -> Image.Image:
    """Upright and in RGB."""
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def check_drawn(found: Found, source: Path, folder: Path) -> None:
    """Every picture must be there in its size, and have its boxes where the result says.

    Raises:
        AssertionError: One is otherwise.
    """
    assert pictures(folder) == sorted(found)
    for name, here in found.items():
        drawn, before = opened(folder / name), opened(source / name)
        assert drawn.size == before.size, name
        if not here:
            assert (folder / name).read_bytes() == (source / name).read_bytes()
        for face in here:
            x, y, _, height = face["box"]
            edge: Any = drawn.getpixel((x, y + height // 2))
            wanted = tuple(bytes.fromhex(draw.COLOURS[face["label"] != draw.UNKNOWN][1:]))
            assert max(abs(a - b) for a, b in zip(edge, wanted, strict=True)) < 70, (name, face, edge)


@pytest.mark.slow  # tests/integration/test_models.py has it with a job that takes less
def test_a_node_that_starts_afterwards_fetches_the_model_and_takes_part(
    nodes: Nodes, stores: Stores, tmp_path: Path
) -> None:
    source = crowd(tmp_path / "in", ("kim", "ada", "yuki"), 72)
    arguments = command(nodes, source, "--model", "office", "--chunk-size", "1", "--annotate", tmp_path / "out")
    few = {"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "16"}
    with start_cluster(*arguments, settings=few) as submitted:
        run = begun(stores).run
        submitted.send_signal(signal.SIGSTOP)  # what is not on its way yet waits for the third node

        def third_row() -> Node | None:
            label = stores.ledger.runs.requirement(run)
            return next((n for n in stores.nodes.nodes() if n.name == "third@test" and label in n.jobs), None)

        with node("third", nodes.url, tmp_path) as third:
            row = wait_until("the third node has the model", third_row)
            assert row
            assert "office:1" in row.bundles
            submitted.send_signal(signal.SIGCONT)
            out, err = submitted.communicate(timeout=TIMEOUT_S)
            assert submitted.returncode == 0, err
            assert "Traceback" not in third.text()
    assert {"one@test", "two@test", "third@test"} <= set(stores.ledger.runs.status(run).nodes)
    assert {label for here in labels(out).values() for label in here} == {"kim", "ada", "unknown"}
    assert len(labels(out)) == 72
    check_drawn(json.loads(out), source, tmp_path / "out")


@pytest.mark.slow  # tests/integration/test_models.py has it with a job that takes less
def test_a_new_version_is_for_the_next_run_and_not_for_the_running_one(
    nodes: Nodes, stores: Stores, name: str, tmp_path: Path
) -> None:
    faces.portraits(tmp_path / "old", ("ada", "kim"), 4)
    faces.portraits(tmp_path / "new", ("tom",), 4)
    bundles, new = stores.models.bundles, learned(tmp_path / "old", tmp_path / "new")
    bundles.push(name, learned(tmp_path / "old"), "a test")
    source = crowd(tmp_path / "in", ("kim", "ada", "tom"), 72)
    with start_cluster(*command(nodes, source, "--model", name, "--chunk-size", "1")) as submitted:
        old = begun(stores).run
        assert bundles.push(name, new, "a test").current == 2
        assert stores.ledger.runs.status(old).state == "running"
        done = cluster(*command(nodes, faces.FOLDER / "party" / "garden.jpg", "--model", name), timeout_s=TIMEOUT_S)
        assert labels(done.stdout) == {"garden.jpg": ["kim", "ada", "tom"]}, done.stderr
        out, err = submitted.communicate(timeout=TIMEOUT_S)
    assert submitted.returncode == 0, err
    assert stores.ledger.runs.status(old).options["model"].startswith(f"{name}:1.")  # with its digest
    assert {label for here in labels(out).values() for label in here} == {"kim", "ada", "unknown"}


def test_who_is_known_is_not_looked_at_again_when_somebody_is_added(nodes: Nodes, name: str, tmp_path: Path) -> None:
    faces.portraits(tmp_path / "people", ("ada", "kim"), 2, (900, 1125))
    assert train(nodes, name, tmp_path / "people")["pictures"] == 4
    faces.portraits(tmp_path / "people", ("gus",), 3)
    # Had they been decoded, they would have been refused: they are larger than that.
    report = train(nodes, name, tmp_path / "people", "--max-megapixels", "1")
    assert report["people"] == {"ada": 2, "gus": 3, "kim": 2}
    assert report["left_out"] == {}
    faces.portraits(tmp_path / "new", ("tom",), 2)
    report = train(nodes, name, tmp_path / "new", "--add")
    assert (report["model"], report["people"]) == (f"{name}:3", {"ada": 2, "gus": 3, "kim": 2, "tom": 2})


def test_where_nobody_can_be_learned_it_is_said_why(nodes: Nodes, name: str, tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    shutil.copy(faces.FOLDER / "images" / "poem.png", tmp_path / "ada")
    shutil.copy(faces.FOLDER / "people" / "ada" / "1.jpg", tmp_path)
    done = cluster("submit", "-q", "--job", "faces-train", tmp_path, "--model", name, "--broker", nodes.url)
    assert done.returncode == errors.RunFailed.exit_code
    assert "1.jpg: lies in nobody's folder" in done.stderr
    assert "ada/poem.png: no face found" in done.stderr
    assert cluster("models", "show", name, "--broker", nodes.url).returncode == errors.UnknownBundle.exit_code


@pytest.mark.slow  # tests/integration/test_models.py has it with a job that takes less
def test_two_users_at_the_same_time_each_get_their_own_pictures(nodes: Nodes, tmp_path: Path) -> None:
    users = {"a": ("kim", "ada"), "b": ("rosa", "gus")}
    for user, people in users.items():
        crowd(tmp_path / user, people, 12)
    flags = {user: ("--model", "office", "--annotate", tmp_path / f"{user}-out") for user in users}
    with (
        start_cluster(*command(nodes, tmp_path / "a", *flags["a"])) as a,
        start_cluster(*command(nodes, tmp_path / "b", *flags["b"])) as b,
    ):
        for process, user in ((a, "a"), (b, "b")):
            out, err = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, err
            assert {label for here in labels(out).values() for label in here} == set(users[user])
            check_drawn(json.loads(out), tmp_path / user, tmp_path / f"{user}-out")


def test_without_a_model_faces_are_found_and_nobody_is_known(nodes: Nodes, tmp_path: Path) -> None:
    party = faces.FOLDER / "party"
    done = cluster(*command(nodes, party, "--annotate", tmp_path / "out"), timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert labels(done.stdout) == {name: ["unknown"] * 3 for name in EXAMPLES}
    check_drawn(json.loads(done.stdout), party, tmp_path / "out")


def test_a_network_that_was_pushed_is_kept_by_training_and_used(nodes: Nodes, name: str, tmp_path: Path) -> None:
    network = DATA / "models" / "face_detection_yunet.onnx"
    if not network.is_file():
        pytest.skip(f"{network.name} is not here")
    (tmp_path / "net").mkdir()
    shutil.copy(network, tmp_path / "net")
    pushed = cluster("models", "push", name, tmp_path / "net", "--job", "faces", "--broker", nodes.url)
    assert pushed.returncode == 0, pushed.stderr
    party = faces.FOLDER / "party"
    found = cluster(*command(nodes, party, "--model", name), timeout_s=TIMEOUT_S)
    assert labels(found.stdout) == {name: ["unknown"] * 3 for name in EXAMPLES}, found.stderr
    report = train(nodes, name, faces.FOLDER / "people")
    assert report["model"] == f"{name}:2"
    assert report["engine"].startswith("yunet-")
    shown = json.loads(cluster("models", "show", name, "--json", "--broker", nodes.url).stdout)
    assert network.name in [file["path"] for file in shown["files"]]
    found = cluster(*command(nodes, party, "--model", name), timeout_s=TIMEOUT_S)
    assert labels(found.stdout) == EXAMPLES, found.stderr


def test_pictures_can_be_drawn_when_the_run_is_over(nodes: Nodes, stores: Stores, tmp_path: Path) -> None:
    party = faces.FOLDER / "party"
    detached = cluster(*command(nodes, party, "--model", "office", "--detach", "--annotate", tmp_path / "detached"))
    assert detached.returncode == 0, detached.stderr
    run = detached.stdout.strip()
    result = ("result", run, "--wait", "--broker", nodes.url)
    done = cluster(*result, party, "--annotate", tmp_path / "later", timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert labels(done.stdout) == EXAMPLES
    check_drawn(json.loads(done.stdout), party, tmp_path / "later")
    wait_until("the process in the background has drawn", lambda: pictures(tmp_path / "detached") == sorted(EXAMPLES))
    check_drawn(json.loads(done.stdout), party, tmp_path / "detached")
    without = cluster(*result, "--annotate", tmp_path / "more")
    assert without.returncode == errors.UsageError.exit_code
    assert "name it, as it was submitted" in without.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_that_cannot_be_written_is_kept(nodes: Nodes, stores: Stores) -> None:
    picture = faces.FOLDER / "party" / "garden.jpg"
    done = cluster(*command(nodes, picture, "--model", "office", "-o", "/dev/full"), timeout_s=TIMEOUT_S)
    assert done.returncode == errors.ClusterError.exit_code
    assert "No space left on device" in done.stderr
    run = stores.ledger.runs.latest(1)[0].run
    assert f"its result is kept: cluster result {run}" in done.stderr
    assert labels(cluster("result", run, "--broker", nodes.url).stdout) == {"garden.jpg": EXAMPLES["garden.jpg"]}


def test_a_picture_that_was_changed_since_the_run_began_is_not_drawn_for_who_asks_later(
    nodes: Nodes, stores: Stores, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(faces.FOLDER / "party", source)
    done = cluster(*command(nodes, source), timeout_s=TIMEOUT_S)
    run = next(run.run for run in stores.ledger.runs.latest(5) if run.job == "faces")
    result = ("result", run, "--broker", nodes.url, source, "--annotate")
    assert cluster(*result, tmp_path / "soon").returncode == 0
    check_drawn(json.loads(done.stdout), source, tmp_path / "soon")
    admin(nodes.url).hincrbyfloat(keys.run(run), "started_at", -3600)
    later = cluster(*result, tmp_path / "later")
    assert later.returncode == errors.ITEMS_MISSING_EXIT_CODE
    for name in EXAMPLES:
        assert f"{name}: was changed after the run had begun" in later.stderr
    assert pictures(tmp_path / "later") == []


def test_who_takes_up_a_run_gets_its_pictures(nodes: Nodes, stores: Stores, tmp_path: Path) -> None:
    source = crowd(tmp_path / "in", ("gus", "rosa"), 24)
    with start_cluster(*command(nodes, source, "--model", "office", "--chunk-size", "1")) as submitted:
        run = begun(stores).run
        submitted.send_signal(signal.SIGTERM)
        _, err = submitted.communicate(timeout=30)
    assert f"cluster resume {run}" in err
    done = cluster("resume", "-q", run, source, "--annotate", tmp_path / "out", "--broker", nodes.url,
                   timeout_s=TIMEOUT_S)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(labels(done.stdout)) == 24
    check_drawn(json.loads(done.stdout), source, tmp_path / "out")


def odd_pictures(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Pictures of kim in forms that give decoders trouble; gives where the face is on those that can be read."""
    from PIL import Image

    folder.mkdir()
    kim, [face] = faces.script().draw_party(["kim"], (240, 300))
    alpha = kim.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(kim.size).point(lambda value: 128 + value // 2))
    turned = Image.Exif()
    turned[0x0112] = 6
    kim.convert("L").save(folder / "grey.png")
    alpha.save(folder / "alpha.png")
    kim.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    kim.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=turned, quality=95)
    whole = (folder / "turned.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.linear_gradient("L").save(folder / "nobody.png")
    Image.new("L", (12_000, 12_000), 200).save(folder / "huge.png", compress_level=1)
    faces.script().draw_party(["ada", "gus", "kim", "rosa", "ada"], (1200, 400))[0].save(folder / "many.png")
    return dict.fromkeys(("grey.png", "alpha.png", "cmyk.jpg", "turned.jpg"), face.box)


def test_odd_pictures_are_read_or_named(nodes: Nodes, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    readable = odd_pictures(source)
    done = cluster(*command(nodes, source, "--model", "office", "--annotate", out), timeout_s=TIMEOUT_S)
    assert done.returncode == errors.ITEMS_MISSING_EXIT_CODE, done.stderr
    assert "truncated.jpg: damaged" in done.stderr
    assert "huge.png: 12000 x 12000 pixels is over the limit of 64 megapixels" in done.stderr
    found: Found = json.loads(done.stdout)
    assert labels(done.stdout) == {
        **{name: ["kim"] for name in readable},
        "dot.png": [],
        "nobody.png": [],
        "many.png": ["ada", "gus", "kim", "rosa", "ada"],
    }
    for name, box in readable.items():
        assert faces.overlap(found[name][0]["box"], box) > 0.4, name
    check_drawn(found, source, out)
