"""Where a gateway listens, and with which certificate."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from cluster import addresses, errors, settings
from cluster.gateway.server import Running
from cluster.http_server import bind
from tests.kit.programs import find_program


def test_a_certificate_makes_it_speak_https(redis_url: str, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [find_program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    config = settings.load(broker_url=redis_url)
    with Running(config, port=0, cert=cert, key=key) as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(verify=trusting) as client:
            assert client.get(f"{gateway.url}/v2/health/live").status_code == 200
    with pytest.raises(errors.UsageError, match="give --cert"):
        Running(config, port=0, key=key).__enter__()
    with pytest.raises(errors.UsageError, match="cannot be used"):
        Running(config, port=0, cert=key, key=cert).__enter__()
    with pytest.raises(errors.UsageError, match="cannot be used"):
        Running(config, port=0, cert=tmp_path / "none").__enter__()


def test_a_port_that_is_taken_is_told_so(redis_url: str) -> None:
    config = settings.load(broker_url=redis_url)
    with Running(config, port=0) as gateway:
        assert gateway.url.startswith("http://127.0.0.1:")
        port = httpx.URL(gateway.url).port
        assert port
        with pytest.raises(errors.UsageError, match="choose another --port"):
            Running(config, port=port).__enter__()


def test_an_address_of_another_machine_is_refused(redis_url: str) -> None:
    with pytest.raises(errors.UsageError, match=r"cannot listen on 192\.0\.2\.1:0"):
        Running(settings.load(broker_url=redis_url), host="192.0.2.1", port=0).__enter__()


@pytest.mark.parametrize("host", ["office..example.org", "x" * 70])
def test_what_can_be_no_name_of_a_machine_is_refused(host: str) -> None:
    with pytest.raises(errors.UsageError, match=f"cannot listen on {host}:0 .it is no name of a machine"):
        bind(host, 0, "page")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_gateway_on_all_addresses_is_told_by_one_that_leads_there(redis_url: str, host: str) -> None:
    with Running(settings.load(broker_url=redis_url), host=host, port=0) as gateway:
        assert httpx.URL(gateway.url).host not in addresses.ALL
        assert httpx.get(f"{gateway.url}/v2/health/live").status_code == 200
