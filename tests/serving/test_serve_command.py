"""`cluster serve`, `services` and `token` without a replica: what they find out, print and refuse."""

from __future__ import annotations

import json
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import client, errors
from cluster.bundles.content import Content
from cluster.services import desired
from cluster.services.tokens import Tokens
from cluster.stores import Stores
from tests.kit.programs import cluster, start_cluster
from tests.kit.waiting import line_with


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what is pushed here is not for the nodes of other tests."""
    return broker


@pytest.fixture
def name(stores: Stores) -> Iterator[str]:
    """A model with two versions."""
    name = f"office-{secrets.token_hex(4)}"
    for tag in (b"red", b"blue"):
        stores.models.bundles.push(name, Content("tagged", {"tag.txt": tag}), "a test")
    yield name
    stores.models.bundles.remove(name)


def refused(url: str, *arguments: str | Path) -> str:
    """What a command says that ends at once as it is used in a wrong way."""
    done = cluster(*arguments, "--broker", url)
    assert done.returncode == errors.UsageError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_unknown_model_is_named_with_the_nearest(redis_url: str, name: str) -> None:
    said = refused(redis_url, "serve", f"{name}x", "--job", "tagged")
    assert f"no bundle '{name}x' (there are: {name}); did you mean {name}?" in said


def test_an_unknown_version_is_named_with_those_there_are(redis_url: str, name: str) -> None:
    assert f"no version 7 of the bundle {name} (there are: 1, 2)" in refused(redis_url, "serve", f"{name}:7")


def test_a_job_without_single_answers_is_refused(redis_url: str) -> None:
    said = refused(redis_url, "serve", "--job", "wordcount")
    assert "the job wordcount cannot be served: it gives no answer to a single item (" in said
    assert "faces" in said


def test_a_model_of_another_job_is_refused(redis_url: str, name: str) -> None:
    assert f"{name}:2 is a bundle for the job tagged, not for faces" in refused(
        redis_url, "serve", name, "--job", "faces"
    )


@pytest.mark.parametrize(
    ("canary", "why"),
    [
        ("{name}:1=110%", "to get 110 % of the requests; it must be 0 % to 100 %"),
        ("{name}:1=-5%", "is no share of a version; write NAME:VERSION=SHARE%"),
        ("{name}:1=ten", "is no share of a version; write NAME:VERSION=SHARE%"),
        ("{name}=10%", "is no version of the model that is served"),
        ("other:1=10%", "other:1 is no version of the model that is served"),
        ("{name}:9=10%", "no version 9 of the bundle"),
    ],
)
def test_a_canary_that_cannot_be_is_refused(canary: str, why: str, redis_url: str, name: str, stores: Stores) -> None:
    assert why in refused(redis_url, "serve", name, "--canary", canary.format(name=name))
    assert desired.Services(stores.redis).get(name) is None


def test_a_canary_and_a_shadow_are_ended_by_none(redis_url: str, name: str, stores: Stores) -> None:
    with client.connect(redis_url) as c:
        for canary, shadow, expected in (
            ([f"{name}:1=10%"], f"{name}:1", ({1: 0.1}, 1)),
            (None, None, ({1: 0.1}, 1)),  # it stays as it was
            (["none"], "none", ({}, None)),
        ):
            c.serve(name, canary=canary, shadow=shadow)
            found = desired.Services(stores.redis).get(name)
            assert found is not None
            assert (found.canary, found.shadow) == expected
        c.service(name).stop()


def test_canaries_of_more_than_all_requests_are_refused(redis_url: str, name: str) -> None:
    said = refused(redis_url, "serve", name, "--canary", f"{name}:1=60%", "--canary", f"{name}:2=60%")
    assert "the canaries are to get 120 % of the requests together" in said


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--replicas", "-1", "the number of replicas is -1; it must be 0 to 256"),
        ("--max-waiting", "0", "the number of requests that may wait is 0; it must be 1 to 100000"),
        ("--deadline", "0.001", "the deadline in ms is 1; it must be 10 to 600000"),
        ("--name", "Office!", "'Office!' cannot name a service"),
    ],
)
def test_a_value_out_of_its_range_is_refused(option: str, value: str, why: str, redis_url: str, name: str) -> None:
    assert why in refused(redis_url, "serve", name, option, value)


def test_a_service_is_not_made_another_one(redis_url: str, name: str, stores: Stores) -> None:
    desired.Services(stores.redis).put(desired.Service(name=name, job="tagged", model=f"{name}:1"))
    said = refused(redis_url, "serve", name, "--port", "0")
    assert f"the service {name} is there, and serves tagged with {name}:1: give this one another --name" in said
    desired.Services(stores.redis).remove(name)


def test_a_taken_port_is_named_before_the_service_is_entered(redis_url: str, name: str, stores: Stores) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(redis_url, "serve", name, "--port", str(port))
    assert str(port) in said
    assert "--port" in said
    assert desired.Services(stores.redis).get(name) is None


def test_an_open_address_without_https_is_warned_of(redis_url: str, name: str) -> None:
    words = "read tokens on the way"
    assert words in refused(redis_url, "serve", name, "--host", "192.0.2.1")  # no address of this machine
    assert words not in refused(redis_url, "serve", f"{name}:7", "--host", "localhost")


def test_a_certificate_without_its_key_is_refused(redis_url: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    said = refused(redis_url, "serve", name, "--port", "0", "--cert", tmp_path / "cert.pem")
    assert "--key" in said


def test_a_certificate_that_is_none_is_refused(redis_url: str, name: str, tmp_path: Path) -> None:
    for file in ("cert.pem", "key.pem"):
        (tmp_path / file).write_text("nonsense")
    said = refused(
        redis_url, "serve", name, "--port", "0", "--cert", tmp_path / "cert.pem", "--key", tmp_path / "key.pem"
    )
    assert str(tmp_path / "cert.pem") in said


def test_nothing_to_serve_is_said_without_a_cluster() -> None:
    done = cluster("serve")
    assert done.returncode == errors.UsageError.exit_code
    assert "name what to serve: a MODEL, --job NAME, or both" in done.stderr


def test_a_missing_extra_is_named_with_the_command_that_adds_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'uvicorn' else find(name, *more)\n"
    )
    done = cluster("serve", "--job", "ocr", settings={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == errors.NotInstalled.exit_code
    assert "a gateway needs uvicorn" in done.stderr
    assert 'pip install "cluster[serve]"' in done.stderr


def test_services_are_listed_scaled_and_stopped(redis_url: str, name: str, stores: Stores) -> None:
    desired.Services(stores.redis).put(
        desired.Service(name=name, job="tagged", model=name, replicas=2, canary={1: 0.1}, created_by="a test")
    )
    listed = cluster("services", "--broker", redis_url)
    assert listed.returncode == 0, listed.stderr
    assert f"{name}  tagged  {name}, canary 1: 10 %  0 of 2  none yet" in listed.stdout
    told = json.loads(cluster("services", "--json", "--broker", redis_url).stdout)
    assert [(one["service"], one["replicas_wanted"], one["replicas_ready"], one["canary"]) for one in told] == [
        (name, 2, 0, {"1": 0.1})
    ]
    assert cluster("services", "scale", name, "3", "--broker", redis_url).returncode == 0
    found = desired.Services(stores.redis).get(name)
    assert found is not None
    assert found.replicas == 3
    assert cluster("services", "stop", name, "--broker", redis_url).stdout == f"stopped {name}\n"
    assert desired.Services(stores.redis).all() == []


@pytest.mark.parametrize("command", [("stop", "offce"), ("scale", "offce", "2")])
def test_an_unknown_service_is_named_with_the_nearest(command: tuple[str, ...], redis_url: str, stores: Stores) -> None:
    desired.Services(stores.redis).put(desired.Service(name="office", job="tagged", model="office"))
    assert "no service 'offce' (there are: office); did you mean office?" in refused(redis_url, "services", *command)
    desired.Services(stores.redis).remove("office")


def test_a_token_is_shown_once_and_revoked(redis_url: str) -> None:
    made = cluster("token", "new", "till", "--broker", redis_url)
    secret = made.stdout.strip()
    assert len(secret) >= 32
    assert secret not in made.stderr
    listed = cluster("token", "list", "--broker", redis_url)
    assert listed.stdout.startswith("till ")
    assert secret not in listed.stdout
    assert [one["name"] for one in json.loads(cluster("token", "list", "--json", "--broker", redis_url).stdout)] == [
        "till"
    ]
    assert cluster("token", "revoke", "till", "--broker", redis_url).stdout == "revoked till\n"
    assert "there is no token 'till'" in refused(redis_url, "token", "revoke", "till")


def test_no_token_is_made_that_nobody_sees(redis_url: str, name: str, stores: Stores) -> None:
    with start_cluster("serve", name, "--port", "0", "--broker", redis_url) as program:
        assert program.stderr is not None
        line_with("waiting for one", program.stderr)
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
    assert Tokens(stores.redis).list() == []
    desired.Services(stores.redis).remove(name)
