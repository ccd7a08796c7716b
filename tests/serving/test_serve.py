"""Services with real replicas, a real gateway and real HTTP: their answers are those of `Job.run_locally`."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import cluster as api
from cluster import catalog, errors
from cluster.bundles import content
from cluster.bundles.content import Content
from cluster.services.desired import Services
from cluster.stores import Stores
from tests.kit import inputs
from tests.kit.programs import MARK, Worker, cluster, environment, mark, marked, start_cluster
from tests.kit.serving import Gateway, served
from tests.kit.waiting import line_with, wait_until

SERVED = ("ocr", "faces", "onnx")
"""Jobs about pictures that serve; ``test_serve_rows`` has the others."""
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what is pushed here is not for the nodes of other tests."""
    return broker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, broker: str) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("node")
    with Worker("one", broker, folder, "-c", "2", CLUSTER_CACHE_DIR=str(folder / "cache"), **{MARK: "one"}) as worker:
        yield worker
        assert "Traceback" not in worker.text()


@pytest.fixture
def name(stores: Stores) -> Iterator[str]:
    """A name for a model and its service, which end with the test."""
    name = f"office-{secrets.token_hex(4)}"
    yield name
    Services(stores.redis).remove(name)
    if name in stores.models.bundles.names():
        stores.models.bundles.remove(name)


@pytest.fixture
def token(redis_url: str) -> Iterator[str]:
    """A token of the cluster, so that no command makes one."""
    name = f"test-{secrets.token_hex(4)}"
    yield cluster("token", "new", name, "--broker", redis_url).stdout.strip()
    cluster("token", "revoke", name, "--broker", redis_url)


def push(stores: Stores, name: str, tag: str) -> None:
    stores.models.bundles.push(name, Content("tagged", {"tag.txt": tag.encode()}), "a test")


def pictures(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("job", SERVED)
def test_answers_are_those_of_the_job(
    job: str, redis_url: str, stores: Stores, worker: Worker, name: str, token: str, tmp_path: Path
) -> None:
    if problem := catalog.get(job).why_not_here():
        pytest.skip(problem)
    (tmp_path / "in").mkdir()
    given = pictures(inputs.small(job, tmp_path / "in"))
    options = inputs.options(job, tmp_path / "model")
    expected = catalog.get(job).run_locally(tmp_path / "in", **options)
    if options:
        stores.models.bundles.push(name, content.read_folder(tmp_path / "model"), "a test")
    arguments = [*([name] if options else []), "--job", job, "--name", name, "--broker", redis_url]
    with served(*arguments, token=token) as gateway:
        one = {item: ask(gateway, data, item) for item, data in given.items()}
        many = gateway.request("POST", f"/v1/models/{name}/predict", **multipart(given))
    assert one == json.loads(json.dumps(expected))
    assert many.status_code == 200, many.text
    assert many.json()["items"] == json.loads(json.dumps(expected))


def ask(gateway: Gateway, data: bytes, item: str) -> Any:
    answer = gateway.ask(data, kind=KINDS[Path(item).suffix])
    assert answer.status_code == 200, answer.text
    [value] = answer.json()["items"].values()
    return value


def multipart(given: Mapping[str, bytes]) -> dict[str, Any]:
    """Body and type of a form with these files."""
    edge = "edge0edge"
    body = b"".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="pictures"; filename="{item}"\r\n'
        f"Content-Type: {KINDS[Path(item).suffix]}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for item, data in given.items()
    )
    return {"body": body + f"--{edge}--\r\n".encode(), "kind": f"multipart/form-data; boundary={edge}"}


def test_an_unreadable_picture_leaves_the_others_their_answers(
    redis_url: str, worker: Worker, name: str, token: str, tmp_path: Path
) -> None:
    if problem := catalog.get("ocr").why_not_here():
        pytest.skip(problem)
    given = {**pictures(inputs.small("ocr", tmp_path)), "none.png": b"no picture"}
    with served("--job", "ocr", "--name", name, "--broker", redis_url, token=token) as gateway:
        many = gateway.request("POST", f"/v1/models/{name}/predict", **multipart(given))
        alone = gateway.ask(b"no picture", kind="image/png")
    assert many.status_code == 200
    assert many.json()["items"] == inputs.PAGES
    assert set(many.json()["missing"]) == {"none.png"}
    assert alone.status_code == 422
    assert "Traceback" not in alone.text


def test_a_service_is_scaled_and_stopped(redis_url: str, stores: Stores, worker: Worker, name: str, token: str) -> None:
    push(stores, name, "red")
    with served(name, "--broker", redis_url, token=token) as gateway:
        cluster("services", "scale", name, "2", "--broker", redis_url)
        wait_until("two replicas are ready", lambda: status(redis_url, name)["replicas_ready"] == 2)
        assert gateway.ask(b"x").json()["items"] == {"item": "red of one"}
        assert cluster("services", "stop", name, "--broker", redis_url).returncode == 0
        wait_until("it is unknown", lambda: gateway.ask(b"x").status_code == 404)


def status(url: str, name: str) -> Any:
    told = json.loads(cluster("services", "--json", "--broker", url).stdout)
    return next(one for one in told if one["service"] == name)


def test_a_service_of_a_cluster_stays_when_its_gateway_ends(
    redis_url: str, stores: Stores, worker: Worker, name: str, token: str
) -> None:
    push(stores, name, "red")
    with start_cluster("serve", name, "--port", "0", "--broker", redis_url) as first:
        assert first.stdout is not None
        line_with("ready at http://127.0.0.1:", first.stdout)
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
    assert first.returncode == 0, said
    assert f"the service {name} stays: cluster services stop {name}" in said
    assert status(redis_url, name)["replicas_ready"] == 1
    with served("--broker", redis_url, token=token) as second:  # a gateway alone
        assert second.ask(b"x", name).json()["items"] == {"item": "red of one"}


def test_the_curl_line_works_when_pasted(
    redis_url: str, stores: Stores, worker: Worker, name: str, tmp_path: Path
) -> None:
    if problem := catalog.get("ocr").why_not_here():
        pytest.skip(problem)
    inputs.small("ocr", tmp_path)
    (tmp_path / "picture.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    for made in cluster("token", "list", "--broker", redis_url).stdout.splitlines():
        cluster("token", "revoke", made.split()[0], "--broker", redis_url)
    with start_cluster("serve", "--job", "ocr", "--name", name, "--port", "0", "--broker", redis_url) as program:
        assert program.stdout is not None
        export = line_with("export TOKEN=", program.stdout)
        curl = line_with("curl ", program.stdout)
        done = subprocess.run(
            ["sh", "-ec", f"{export}{curl}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert list(json.loads(done.stdout)["items"].values()) == ["First page\n"]
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=30)


def test_without_a_broker_all_of_it_ends_with_ctrl_c(tmp_path: Path) -> None:
    models, temporary = tmp_path / "models", tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "tag").mkdir()
    (tmp_path / "tag" / "tag.txt").write_text("red")
    settings = {
        **mark(), "CLUSTER_MODELS_DIR": str(models), "CLUSTER_CACHE_DIR": str(tmp_path / "cache"),
        "TMPDIR": str(temporary), "CLUSTER_SLOTS": "1",
    }  # fmt: skip
    pushed = cluster("models", "push", "office", tmp_path / "tag", "--job", "tagged", settings=settings)
    assert pushed.returncode == 0, pushed.stderr
    try:
        with served("office", "--replicas", "2", settings=settings) as gateway:
            assert gateway.ask(b"x").json()["items"]["item"].startswith("red of ")
            gateway.program.send_signal(signal.SIGINT)
            assert gateway.program.wait(30) == 0
        wait_until("nothing of it is left", lambda: not marked(settings, temporary))
        assert list(temporary.glob("cluster-*")) == []
    finally:
        for process in marked(settings, temporary):
            process.kill()


@pytest.mark.slow
def test_a_service_is_there_again_after_a_restart_of_its_hub(tmp_path: Path) -> None:
    """Ended as by a power cut."""
    settings = {**mark(), "CLUSTER_SLOTS": "1", "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "tag").mkdir()
    (tmp_path / "tag" / "tag.txt").write_text("red")
    token = ""
    try:
        for number in signal.SIGKILL, signal.SIGTERM:
            with start_cluster("up", "--data", tmp_path / "hub", settings=settings) as up:
                assert up.stdout is not None
                url = line_with("export ", up.stdout).strip().partition("=")[2]
                if not token:
                    token = cluster("token", "new", "till", "--broker", url).stdout.strip()
                    pushed = cluster("models", "push", "office", tmp_path / "tag", "--job", "tagged", "--broker", url)
                    assert pushed.returncode == 0, pushed.stderr
                    with api.connect(url) as c:
                        c.serve("office")
                with served("--broker", url, token=token) as gateway:
                    wait_until("it answers", lambda: gateway.ask(b"x", "office").status_code == 200, 60)
                up.send_signal(number)
                up.wait(30)
    finally:
        for process in marked(settings, tmp_path):
            process.kill()


@pytest.mark.parametrize(
    "path", ["/v1/models/office/predict", "/v2/models/office/infer", "/v2/models/office", "/metrics"]
)
def test_no_method_gets_past_a_wrong_token(path: str, redis_url: str, token: str) -> None:
    with served("--broker", redis_url, token=token) as gateway:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
            assert gateway.request(method, path, token="").status_code == 401, method
            assert gateway.request(method, path, token=f"{token}x").status_code == 401, method
        assert gateway.request("GET", "/v2/health/live", token="").status_code == 200


def test_a_revoked_token_is_refused_within_a_second(redis_url: str, token: str) -> None:
    with served("--broker", redis_url, token=token) as gateway:
        secret = cluster("token", "new", "till", "--broker", redis_url).stdout.strip()
        wait_until("it is known", lambda: gateway.request("GET", "/metrics", token=secret).status_code == 200, 2)
        assert cluster("token", "revoke", "till", "--broker", redis_url).returncode == 0
        wait_until("it is refused", lambda: gateway.request("GET", "/metrics", token=secret).status_code == 401, 2)


def test_a_service_answers_a_program_in_python(redis_url: str, stores: Stores, worker: Worker, name: str) -> None:
    push(stores, name, "red")
    with api.connect(redis_url) as c, c.serve(name, seconds=0.0) as service:
        service.wait_until_ready(60)
        assert service.predict({"a": b"x", "b": b"y"}).items == {"a": "red of one", "b": "red of one"}
        assert [one.service for one in c.services() if one.service == name] == [name]
        with c.gateway() as gateway:
            assert service.url == gateway.url
    with api.connect(redis_url) as c, pytest.raises(errors.UnknownService):
        c.service(name)


def test_the_python_client_serves_without_a_broker(tmp_path: Path) -> None:
    (tmp_path / "tag.txt").write_text("red")
    code = (
        "import cluster, sys\n"
        "with cluster.connect() as c:\n"
        "    c.models.push('office', sys.argv[1], 'tagged')\n"
        "    service = c.serve('office', seconds=0.0)\n"
        "    service.wait_until_ready(60)\n"
        "    print(service.predict({'a': b'x'}).items['a'])\n"
    )
    env = environment(CLUSTER_MODELS_DIR=str(tmp_path / "models"), CLUSTER_CACHE_DIR=str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout == "red of \n", done.stderr
