"""Reading settings."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from cluster import errors, logs, redis_url, settings


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_MAX_IN_FLIGHT_CHUNKS", "7")
    assert settings.load().max_in_flight_chunks == 7


def test_a_setting_comes_from_the_file_unless_the_environment_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('broker_url = "redis://:secret@host:1/0"\nslots = 3\n')
    monkeypatch.setenv("CLUSTER_CONFIG", str(file))
    monkeypatch.setenv("CLUSTER_SLOTS", "5")
    found = settings.load()
    assert found.require_broker() == "redis://:secret@host:1/0"
    assert found.slots == 5


def test_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_BROKER_URL", "redis://a")
    assert settings.load(broker_url="redis://b").require_broker() == "redis://b"
    assert settings.load(broker_url=None).require_broker() == "redis://a"


def test_whether_packages_are_installed_is_one_of_three_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().install == "never"
    monkeypatch.setenv("CLUSTER_INSTALL", "always")
    with pytest.raises(
        errors.BadSetting, match="CLUSTER_INSTALL is 'always': input should be 'ask', 'never' or 'allow'"
    ):
        settings.load()


@pytest.mark.parametrize(("old", "new"), settings.RENAMED.items())
def test_a_renamed_setting_is_refused_with_its_new_name(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new in settings.Settings.model_fields
    assert old not in settings.Settings.model_fields
    monkeypatch.setenv(f"CLUSTER_{old.upper()}", "7")
    with pytest.raises(errors.BadSetting, match=f"^CLUSTER_{old.upper()} is now called CLUSTER_{new.upper()}$"):
        settings.load()
    monkeypatch.delenv(f"CLUSTER_{old.upper()}")
    file = tmp_path / "config.toml"
    file.write_text(f"{old} = 7\n")
    monkeypatch.setenv("CLUSTER_CONFIG", str(file))
    with pytest.raises(errors.BadSetting, match=f"{file}: {old} is now called {new}$"):
        settings.load()


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_bad_value_names_the_setting_the_value_and_the_form(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_SLOTS", value)
    with pytest.raises(errors.BadSetting, match=rf"CLUSTER_SLOTS is '{value}': input should be"):
        settings.load()


def test_a_broken_file_is_a_bad_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text("slots = = 3")
    monkeypatch.setenv("CLUSTER_CONFIG", str(file))
    with pytest.raises(errors.BadSetting, match="cannot be read"):
        settings.load()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("slotz = 3", "there is no setting slotz; did you mean slots?"),
        ("CLUSTER_SLOTS = 3", "there is no setting CLUSTER_SLOTS; did you mean slots?"),
        ("[redis]\nport = 1", "there is no setting redis"),
    ],
)
def test_a_name_that_is_no_setting_is_refused_in_the_file(
    line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(line)
    monkeypatch.setenv("CLUSTER_CONFIG", str(file))
    with pytest.raises(errors.BadSetting) as caught:
        settings.load()
    assert str(caught.value).startswith(f"{file}: {told}")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("CLUSTER_SLOT", "CLUSTER_SLOTS"),
        ("CLUSTER_BROKER", "CLUSTER_BROKER_URL"),
        ("cluster_loglevel", "CLUSTER_LOG_LEVEL"),
        ("CLUSTER_CONF", "CLUSTER_CONFIG"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_refused(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(errors.BadSetting) as caught:
        settings.load()
    assert str(caught.value) == f"there is no setting {variable}; did you mean {meant}?"
    monkeypatch.setenv(variable, "")  # as good as none
    settings.load()


def test_variables_of_an_orchestrator_are_told_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = ["CLUSTER_BROKER_PORT", "CLUSTER_NAME", "CLUSTER_PORT_6379_TCP", "CLUSTER_SERVICE_HOST"]
    for name in (*foreign, "CLUSTER_LOG_LEVEL"):
        monkeypatch.setenv(name, "INFO")
    settings.load()
    assert settings.unknown_variables() == foreign
    logs.warn_of_variables(settings.unknown_variables())
    assert [record.getMessage() for record in caplog.records] == [
        f"{', '.join(foreign)}: these are no settings of cluster; ignored"
    ]


@pytest.mark.parametrize(("place", "why"), [("nowhere.toml", "is not there"), (".", "is a folder")])
def test_a_config_file_that_is_named_must_be_there(
    place: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_CONFIG", str(tmp_path / place))
    with pytest.raises(errors.BadSetting, match=rf"CLUSTER_CONFIG is '.*', which {why}; it must name a file"):
        settings.load()


@pytest.mark.parametrize("url", ["host:6379", "http://host", "amqp://host", "redis://", ""])
def test_only_redis_is_a_broker(url: str) -> None:
    with pytest.raises(errors.BadSetting, match="redis://"):
        settings.load(broker_url=url)


def test_the_password_is_shown_nowhere() -> None:
    found = settings.load(broker_url="redis://:secret@host:1/0")
    assert "secret" not in repr(found)
    with pytest.raises(errors.BadSetting) as caught:
        settings.load(broker_url="http://:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "redis://:secret@host:1/0",
        "\nexport CLUSTER_BROKER_URL=redis://:secret@host:1/0\n",
        "redis://:secret@host:1/0\r\n",
    ],
)
def test_the_broker_url_may_stand_in_a_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, file, config = "redis://:secret@host:1/0", tmp_path / "hub.url", tmp_path / "config.toml"
    file.write_bytes(text.encode())
    config.write_text('broker_url = "redis://other"')
    monkeypatch.setenv("CLUSTER_CONFIG", str(config))
    monkeypatch.setenv("CLUSTER_BROKER_URL_FILE", str(file))
    assert settings.load().require_broker() == url  # a variable wins over the config file
    monkeypatch.setenv("CLUSTER_BROKER_URL", "redis://third")
    assert settings.load().require_broker() == "redis://third"
    monkeypatch.delenv("CLUSTER_BROKER_URL")
    assert settings.load(broker_url="redis://fourth").require_broker() == "redis://fourth"
    monkeypatch.delenv("CLUSTER_BROKER_URL_FILE")
    config.write_text(f'broker_url_file = "{file}"')
    assert settings.load().require_broker() == url


@pytest.mark.parametrize("data", [None, b"", b"redis://a\nredis://:secret@b\n", b"\xff\xfe"])
def test_a_file_without_a_broker_url_is_named(
    data: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hub.url"
    if data is not None:
        file.write_bytes(data)
    monkeypatch.setenv("CLUSTER_BROKER_URL_FILE", str(file))
    with pytest.raises(errors.BadSetting) as caught:
        settings.load()
    assert str(file) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_a_broker_the_error_says_what_to_set() -> None:
    with pytest.raises(errors.BrokerError, match="CLUSTER_BROKER_URL"):
        settings.load().require_broker()


@pytest.mark.parametrize("password", ["qx/zj", "qx#zj", "qx?zj", "71/94", "71#94", "71?94", "q:x/zj"])
def test_a_password_that_breaks_the_url_is_not_shown_in_pieces(password: str) -> None:
    with pytest.raises(errors.BadSetting) as caught:
        settings.load(broker_url=f"redis://:{password}@host:6379/0")
    said = str(caught.value)
    assert "%23 %2F" in said
    assert not any(piece in said for piece in ("q", "x", "zj", "71", "94"))


@pytest.mark.parametrize(("path", "right"), [("", True), ("/", True), ("/3", True), ("/3/", True), ("/three", False)])
def test_a_database_is_a_number(path: str, right: bool) -> None:
    with nullcontext() if right else pytest.raises(errors.BadSetting, match="database of the broker URL is 'three'"):
        settings.load(broker_url=f"redis://host{path}?socket_timeout=3")


def test_a_bad_value_in_the_file_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('slots = "many"')
    monkeypatch.setenv("CLUSTER_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(errors.BadSetting) as caught:
        settings.load()
    assert str(caught.value).startswith(f"{tmp_path / 'config.toml'}: slots is 'many'")


def test_a_password_may_have_a_semicolon() -> None:
    url = "redis://:a;b@host:6379/0"
    assert settings.load(broker_url=url).require_broker() == url
    assert redis_url.masked(url) == "redis://:***@host:6379/0"


@pytest.mark.parametrize(
    "option",
    ["decode_responses=true", "encoding=utf-16", "socket_timeout=0", "socket_timeout=soon", "ssl_ca_certs=/a", "x="],
)
def test_an_option_of_the_url_that_cannot_work_is_named(option: str) -> None:
    with pytest.raises(errors.BadSetting, match=option.partition("=")[0]):
        settings.load(broker_url=f"redis://:secret@host:1/0?{option}")
    assert settings.load(broker_url="rediss://host:1/0?ssl_ca_certs=/a&socket_timeout=60").broker_url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://:hidden@host", "CLUSTER_EDGE_URL starts with 'http://'; it must be redis://"),
        ("host:6379", "CLUSTER_EDGE_URL starts with no scheme"),
        ("redis://:hid/den@host", "CLUSTER_EDGE_URL cannot be used: its port must be a number"),
        ("redis://host/lab", "the database of CLUSTER_EDGE_URL is 'lab'; it must be a number"),
        ("sentinel://a;sentinel://b", "CLUSTER_EDGE_URL starts with 'sentinel://'; it must be redis://"),
        ("redis://host?decode_responses=1", "CLUSTER_EDGE_URL has the option decode_responses"),
    ],
)
def test_an_edge_store_that_is_no_redis_is_refused(url: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_EDGE_URL", url)
    with pytest.raises(errors.BadSetting) as caught:
        settings.load()
    assert str(caught.value).startswith(told)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("CLUSTER_LAN", "ask"), ("CLUSTER_SITE", "room 4")])
def test_a_bad_word_about_the_site_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().lan == "never"
    monkeypatch.setenv(name, value)
    with pytest.raises(errors.BadSetting, match=f"{name} is '{value}'"):
        settings.load()
