"""Bodies that are wrong, too large, too slow or no HTTP: one clear error each, and the gateway goes on."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator

import httpx
import psutil
import pytest

from cluster import settings
from cluster.gateway import connection
from cluster.gateway.server import Running
from cluster.names import Target
from cluster.services.tokens import Tokens
from tests.kit.asking import Asking, error_of
from tests.kit.played_replica import PlayedReplica, enter
from tests.kit.programs import admin
from tests.kit.waiting import wait_until

INFER = "/v2/models/net/infer"
MiB = 2**20


@pytest.fixture(scope="module")
def asking(broker: str) -> Iterator[Asking]:
    client = admin(broker)
    enter(client, "net")
    token = Tokens(client).new("tests")
    running = Running(settings.load(broker_url=broker), port=0)
    with PlayedReplica(client, Target("net")), running as gateway, Asking(gateway.url, token) as asking:
        wait_until("ready", lambda: asking.infer("net", [[1]]).status_code == 200)
        yield asking
    client.close()


def body(**changed: object) -> bytes:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changed}
    return json.dumps({"inputs": [{name: value for name, value in tensor.items() if value is not None}]}).encode()


def send(asking: Asking, content: bytes, **headers: str) -> httpx.Response:
    return asking.http.post(INFER, content=content, headers={"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"), (b"{", "no JSON"), (b"\xff", "no JSON"),
        (b"[" * 10_000 + b"]" * 10_000, "depth limit"),
        (b"[" * 1000 + b"]" * 1000, "not a list"),
        (b'{"inputs":' * 10_000, "depth limit"), (b"[]", "object"), (b"{}", '"inputs"'), (b'{"inputs":[]}', '"inputs"'),
        (b'{"inputs":[7]}', "needs"), (body(name=None), "needs"), (body(name=7), '"name"'),
        (body(shape=[3]), "3 numbers"),
        (body(shape=[2**31]), "whole numbers"), (body(shape=[0]), "from 1"), (body(shape=[-1, -2]), "from 1"),
        (body(shape=[1.0, 2]), "whole"), (body(shape=[True, 2]), "whole"), (body(shape=[1] * 9), "1 to 8"),
        (body(shape="12"), '"shape"'), (body(shape=[2**30] * 8), "numbers"), (body(datatype="BYTES"), "BYTES"),
        (body(datatype=7), "datatype"), (body(data=None), 'no "data"'), (body(data="12"), "no list"),
        (body(data=[1, "2"]), "such numbers"), (body(data=[1, [2]]), "such numbers"), (body(data=[[1], [2]]), "nested"),
        (body(data=[1, 1e300]), "such numbers"), (body(datatype="INT8", data=[1, 128]), "such numbers"),
        (body(datatype="INT32", data=[1, 1.5]), "such numbers"), (body(datatype="BOOL", data=[1, 0]), "true nor false"),
        (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}', "no JSON"),
        (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1e999]}]}', "infinity"),
        (body()[:-1] + b',"parameters":{"timeout":-1}}', "microseconds"),
        (body()[:-1] + b',"parameters":7}', '"parameters"'), (body()[:-1] + b',"outputs":[7]}', '"outputs"'),
        (body()[:-1] + b',"outputs":[{"name":"z"}]}', "no output 'z'; it has: y"), (body()[:-1] + b',"id":7}', '"id"'),
    ],
)  # fmt: skip
def test_a_wrong_body_is_one_clear_error(asking: Asking, content: bytes, words: str) -> None:
    found = send(asking, content)
    assert found.status_code == 400
    assert words in error_of(found)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP32", [1.5, -2.0]), ("FP64", [0.1, 1e300]), ("FP16", [0.5, -2.0]), ("INT8", [-128, 127]),
        ("UINT8", [0, 255]),
        ("INT64", [-(2**63), 2**63 - 1]), ("UINT64", [0, 2**64 - 1]), ("INT16", [1, 2]), ("UINT16", [1, 2]),
        ("INT32", [1, -2]), ("UINT32", [1, 2]), ("BOOL", [True, False]),
    ],
)  # fmt: skip
def test_every_datatype_comes_back_as_it_was(asking: Asking, datatype: str, values: list[float]) -> None:
    for data in (values, [values]):
        (output,) = send(asking, body(datatype=datatype, data=data)).json()["outputs"]
        assert (output["datatype"], output["shape"], output["data"]) == (datatype, [1, 2], values)


def test_tensors_may_follow_as_bytes_and_come_back_so(asking: Asking) -> None:
    data = struct.pack("<2f", 1.5, 2.5)
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    found = send(asking, head + data, **length)
    size = int(found.headers["inference-header-content-length"])
    assert found.content[size:] == data
    assert json.loads(found.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 8}
    for wrong in (head + data[:7], head + data + b"1", head + struct.pack("<2f", 1.5, float("nan"))):
        assert send(asking, wrong, **length).status_code == 400
    for wrong_length in ("0", "-1", "x", "99999999"):
        assert send(asking, head + data, **{"Inference-Header-Content-Length": wrong_length}).status_code == 400


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/html", b"x", 415), ("image/jpeg", b"", 400), ("application/json", b"[7]", 400),
        ("application/json", b"{}", 400), ("application/json", b'{"rows":[]}', 400), ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"no form", 400), ("multipart/form-data; boundary=x", b"--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', 400),
    ],
)  # fmt: skip
def test_a_wrong_item_is_one_clear_error(asking: Asking, kind: str, content: bytes, status: int) -> None:
    found = asking.predict("net", content, kind)
    assert found.status_code == status
    assert error_of(found)


def test_a_form_has_32_items_of_different_names(asking: Asking) -> None:
    def form(count: int, name: str = "{}.jpg") -> httpx.Response:
        files = [("file", (name.format(number), b"x")) for number in range(count)]
        return asking.http.post("/v1/models/net/predict", files=files)

    assert len(form(32).json()["items"]) == 32
    assert form(33).status_code == 413
    assert "two parts" in error_of(form(2, "same"))


def test_a_body_of_a_gigabyte_is_refused_while_it_is_sent(asking: Asking) -> None:
    before = psutil.Process().memory_info().rss
    found = asking.http.post(INFER, content=(bytes(MiB) for _ in range(1024)))
    assert found.status_code == 413
    assert psutil.Process().memory_info().rss - before < 300 * MiB
    assert asking.infer("net", [[1]]).status_code == 200


def raw(asking: Asking, sent: bytes) -> bytes:
    """What a gateway says to bytes, until it closes the connection."""
    with socket.create_connection((asking.http.base_url.host, asking.http.base_url.port), timeout=20) as client:
        client.sendall(sent)
        said = b""
        while piece := client.recv(65536):
            said += piece
    return said


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"), (b"GET / HTTP/9\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
    ],
)  # fmt: skip
def test_what_is_no_http_is_told_so(asking: Asking, sent: bytes, status: bytes) -> None:
    said = raw(asking, sent)
    assert said.startswith(b"HTTP/1.1 " + status)
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize("sent", [b"", b"POST / HTT", b"POST / HTTP/1.1\r\nhost: x\r\n", b"full"])
def test_a_slow_sender_is_told_so_and_closed(asking: Asking, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SLOW_S", 0.2)
    if sent == b"full":
        token = asking.http.headers["authorization"].encode()
        sent = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: x\r\nauthorization: " + token
        sent += b"\r\ncontent-length: 100\r\n\r\n{"
    said = raw(asking, sent)
    assert said.startswith(b"HTTP/1.1 408")
    assert asking.infer("net", [[1]]).status_code == 200


def test_many_clients_that_only_connect_stop_nobody(asking: Asking) -> None:
    address = (asking.http.base_url.host, asking.http.base_url.port)
    clients = [socket.create_connection(address) for _ in range(200)]
    try:
        assert asking.infer("net", [[1]]).status_code == 200
    finally:
        for client in clients:
            client.close()
    assert threading.active_count() < 50
