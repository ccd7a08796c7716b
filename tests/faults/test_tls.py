"""Redis and a gateway behind TLS: what is sent is encrypted, and nothing is sent where the certificate is wrong."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import kombu.exceptions
import pytest

from cluster import celery_app, errors, settings
from tests.kit.programs import LOOPBACK, RedisServer, Worker, cluster, find_program
from tests.kit.proxy import Proxy
from tests.kit.serving import served


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Signed by itself, with its key in the same file."""
    openssl = find_program("openssl", "openssl")
    file, key = tmp_path / "server.pem", tmp_path / "key.pem"
    make = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    make += ["-subj", "/CN=cluster", "-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(key), "-out", str(file)]
    subprocess.run(make, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


@pytest.fixture
def url(certificate: Path, tmp_path: Path) -> Iterator[str]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with RedisServer(tmp_path / "redis") as server, Proxy(LOOPBACK, server.port, tls) as proxy:
        yield server.url_by(LOOPBACK, proxy.port).replace("redis://", "rediss://")


def test_a_run_goes_through_encrypted_connections(url: str, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one two two")
    trusting = f"{url}?ssl_ca_certs={certificate}"
    with Worker("a", trusting, tmp_path, "-c", "1"):
        done = cluster("submit", "--broker", trusting, "--job", "wordcount", tmp_path / "words.txt")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"two": 2, "one": 1}), done.stderr


def test_who_does_not_trust_the_certificate_says_so_and_sends_nothing(url: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one two two")
    done = cluster("submit", "--broker", url, "--job", "wordcount", tmp_path / "words.txt")
    assert done.returncode == errors.BrokerError.exit_code, done.stderr
    assert "certificate verify failed" in done.stderr
    with (
        closing(celery_app.build(settings.load(broker_url=url))) as app,
        app.connection() as connection,
        pytest.raises(kombu.exceptions.OperationalError, match="certificate verify failed"),
    ):
        connection.ensure_connection(max_retries=1, interval_start=0)


def test_a_gateway_answers_by_https(certificate: Path, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        key = tmp_path / "key.pem"
        arguments = ("--broker", server.url, "--cert", certificate, "--key", key)
        with served(*arguments) as gateway:
            assert gateway.url.startswith("https://")
            trusted = ssl.create_default_context(cafile=certificate)
            with httpx.Client(base_url=gateway.url, verify=trusted) as client:
                assert client.get("/v2/health/live").status_code == 200
                assert client.get("/metrics").status_code == 401
                found = client.get("/metrics", headers={"Authorization": f"Bearer {gateway.token}"})
                assert found.status_code == 200
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{gateway.url}/v2/health/live")
