"""Every setting, and the only reader of the environment and of the config file.

A setting ``broker_url`` comes from the variable ``CLUSTER_BROKER_URL``, else from the line
``broker_url = "…"`` of the file that ``CLUSTER_CONFIG`` names, by default
``~/.config/cluster/config.toml``, else it is the default below. A file with any other name in it is refused, and so
is a variable whose name is nearly that of a setting; other variables ``CLUSTER_…`` may be another program's.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cluster import errors

DEFAULT_MASTER = "mymaster"
DEFAULT_CONFIG = "~/.config/cluster/config.toml"
PREFIX = "CLUSTER_"
NEARLY = 0.75
"""Names that are alike by so much (``difflib``) are taken for a mistyped setting: ``broker`` for ``broker_url``."""
SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")
"""How variables end by which an orchestrator tells containers where a service named ``cluster…`` is."""
URL_TIMES = ("socket_timeout", "socket_connect_timeout", "health_check_interval")
"""Options of a broker URL in seconds."""
URL_OPTIONS = (
    "socket_keepalive", "db", "username", "password", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile",
    "ssl_password", "ssl_cert_reqs", "ssl_check_hostname",
)  # fmt: skip
RENAMED = {
    "window_bytes": "max_in_flight_bytes",
    "window_chunks": "max_in_flight_chunks",
    "fold_chunks": "batch_chunks",
}
"""Names of settings in older versions -> their names now. An old name is an error, wherever it stands: to ignore a
setting would silently change what a program does."""
MiB = 2**20
GiB = 2**30


class Reader(StrEnum):
    """The programs that a setting is for; it stands beside the setting's type."""

    SUBMITTER = "submitter"
    """The program that opens a run. The run keeps the value (``RunPolicy``), whatever other machines have."""
    COORDINATOR = "coordinator"
    """The program that reads a run's input and publishes it, for as long as it does."""
    NODE = "node"
    """The worker of this machine."""
    MACHINE = "machine"
    """Each program of this machine."""
    CLUSTER = "cluster"
    """Each program of the cluster: all machines must have the same value, see ``nodes.places``."""


class Settings(BaseSettings):
    """All settings with their units and limits. Secrets are masked in ``repr`` and logs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    broker_url: Annotated[SecretStr | None, Reader.MACHINE] = None
    """The cluster's Redis, as ``redis://[:password@]host[:port][/db]`` or ``rediss://…``; or its sentinels, as
    ``sentinel://[:password@]host[:port];sentinel://…/db``. None: a private Redis is started. ``rediss`` verifies the
    server's certificate; add ``?ssl_ca_certs=FILE`` if an authority of your own signed it. Add ``?socket_timeout=60``
    on a network that stands still for 10 s now and then."""

    broker_url_file: Annotated[Path | None, Reader.MACHINE] = None
    """A file that holds ``broker_url``, or the line that `cluster up` prints. So neither the environment nor a list of
    processes shows it. ``CLUSTER_BROKER_URL`` and ``--broker`` win."""

    sentinel_master: Annotated[str, Reader.MACHINE] = DEFAULT_MASTER
    """The name by which the sentinels know the cluster's Redis."""

    sentinel_password: Annotated[SecretStr | None, Reader.MACHINE] = None
    """The password of the sentinels. The one in the URL is Redis's."""

    blob_url: Annotated[str | None, Reader.CLUSTER] = Field(None, pattern="^[a-z0-9+.-]+://")
    """Where the bytes of chunks and parts are kept: any fsspec URL that all machines reach. A machine with another
    value takes no work. Files of a run stay there until `cluster runs --prune`. None: the broker's Redis."""

    max_in_flight_bytes: Annotated[int | None, Reader.COORDINATOR] = Field(None, ge=1)
    """Limit for the input of one run that is in the store at a time, in bytes. One chunk is always let through. None:
    64 MiB, or two chunks for each slot of the nodes if that is more, and no more than fits (``memory_share``)."""

    memory_share: Annotated[float, Reader.COORDINATOR] = Field(0.8, gt=0, le=1)
    """Publishing waits while Redis uses more than this share of its ``maxmemory`` (without one: of its machine's
    memory), so that results find room."""

    max_in_flight_chunks: Annotated[int | None, Reader.COORDINATOR] = Field(None, ge=2)
    """Limit for the chunks of one run that are published and not settled. None: 512, or two for each slot of the nodes
    if that is more."""

    batch_chunks: Annotated[int, Reader.COORDINATOR] = Field(32, ge=2, le=10_000)
    """How many chunks make a batch, four times as many where they are tiny. A node aggregates the parts of a batch."""

    inline_bytes: Annotated[int, Reader.SUBMITTER] = Field(64 * 1024, ge=0, le=MiB)
    """Inputs of chunks, and parts, up to this size are kept in the ledger itself, larger ones in the blob store."""

    max_part_bytes: Annotated[int, Reader.SUBMITTER] = Field(256 * MiB, ge=1, le=512 * MiB)
    """Size limit of a part before it is compressed; a job may have a lower one. A larger part fails its chunk."""

    max_attempts: Annotated[int, Reader.SUBMITTER] = Field(4, ge=1)
    """Number of attempts that may raise before a chunk is given up."""

    retry_delay_s: Annotated[float, Reader.SUBMITTER] = Field(1.0, ge=0)
    """Pause before the second attempt of a failed chunk; doubled for each further one, up to a minute."""

    chunk_time_limit_s: Annotated[int, Reader.SUBMITTER] = Field(600, ge=1, le=365 * 24 * 3600)
    """A chunk that runs longer is interrupted; that attempt has failed."""

    chunk_time_grace_s: Annotated[int, Reader.SUBMITTER] = Field(30, ge=1, le=365 * 24 * 3600)
    """A chunk that cannot be interrupted is ended with its process this many seconds after its time limit, and is given
    up."""

    max_time_limit_s: Annotated[int | None, Reader.NODE] = Field(None, ge=1)
    """This node takes no chunks of a run whose ``chunk_time_limit_s`` is higher; other nodes do them. None: no
    limit."""

    max_megapixels: Annotated[int | None, Reader.NODE] = Field(None, ge=1)
    """This node takes no chunks with a picture of more million pixels; other nodes do them. None: the limit is the
    run's ``--max-megapixels``. A pixel takes up to 16 bytes of memory."""

    retention_s: Annotated[int, Reader.SUBMITTER] = Field(7 * 24 * 3600, ge=3600)
    """A run is removed from Redis this many seconds after it was last worked on."""

    task_events: Annotated[bool, Reader.NODE] = True
    """Whether this node reports the start and end of each task, for Flower. Costs a third of its main process."""

    slots: Annotated[int | None, Reader.NODE] = Field(None, ge=1)
    """Number of slots of this node. None: chosen from its cores and memory."""

    slot_memory_bytes: Annotated[int, Reader.NODE] = Field(400 * MiB, ge=1)
    """Memory to plan for each slot, in bytes."""

    reserve_memory_bytes: Annotated[int, Reader.NODE] = Field(512 * MiB, ge=0)
    """Memory of this machine to leave to its owner, in bytes."""

    slots_idle: Annotated[int | None, Reader.NODE] = Field(None, ge=1)
    """Limit for the slots in use while no other program uses this machine. None: all."""

    slots_in_use: Annotated[int | None, Reader.NODE] = Field(None, ge=0)
    """Limit for the slots in use while other programs use this machine, or it runs on battery. None: half of them, at
    least one. 0: the node pauses. The number of slots, or more: the node makes no way."""

    in_use_cores: Annotated[float, Reader.NODE] = Field(0.5, ge=0)
    """Other programs use this machine if they use more cores than this, in the mean of 5 s."""

    memory_floor_bytes: Annotated[int | None, Reader.NODE] = Field(None, ge=0)
    """With less memory available, this node fills fewer slots. None: as ``reserve_memory_bytes``, but at most an eighth
    of the machine's memory. 0: no limit."""

    memory_minimum_bytes: Annotated[int | None, Reader.NODE] = Field(None, ge=0)
    """With less memory available, this node also hands back a chunk that it works on. None: a quarter of
    ``memory_floor_bytes``."""

    calm_s: Annotated[float, Reader.NODE] = Field(30.0, ge=0)
    """Seconds without other programs after which the node fills its slots again."""

    log_format: Annotated[Literal["text", "json"], Reader.MACHINE] = "text"
    """Form of log lines. ``--log-format`` wins."""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, Reader.MACHINE] = None
    """Lowest level that is logged. None: INFO for workers and ``cluster master``, else WARNING. A worker's
    ``--loglevel`` wins."""

    log_file: Annotated[Path | None, Reader.MACHINE] = None
    """File for the log lines of all programs of this machine. None: stderr. ``--logfile`` wins."""

    log_max_bytes: Annotated[int, Reader.MACHINE] = Field(10 * MiB, ge=1024)
    """Size at which the log file is moved to ``<file>.1``."""

    log_backups: Annotated[int, Reader.MACHINE] = Field(5, ge=1)
    """Number of moved log files that are kept; the latest is ``.1``."""

    cache_dir: Annotated[Path, Reader.MACHINE] = Path("~/.cache/cluster")
    """Folder for logs of detached runs, and for models fetched from clusters."""

    data_dir: Annotated[Path, Reader.MACHINE] = Path("~/.local/share/cluster")
    """Folder for what this machine keeps: the cluster of `cluster web` and `cluster up --data` (``hub``), the page's
    uploads and results (``page``), stopped runs without a broker (``private``)."""

    models_dir: Annotated[Path | None, Reader.MACHINE] = None
    """Folder for the models of this machine, used by runs without a broker. None: ``models`` in ``data_dir``."""

    bundle_dir: Annotated[Path | None, Reader.CLUSTER] = None
    """Folder for the models of the cluster, which all machines reach under the same path, such as a network drive.
    Nodes look there every 30 s. None: the broker's Redis and the blob store."""

    bundle_cache_bytes: Annotated[int, Reader.MACHINE] = Field(2 * GiB, ge=1)
    """Size limit for the fetched models of this machine, with the packages installed for them. A larger model is not
    fetched. Models of jobs that this node serves now stay, even if they are larger together."""

    install: Annotated[Literal["ask", "never", "allow"], Reader.NODE] = "never"
    """Whether this node installs the Python packages that a model requires, into a folder for each model. ``allow``: it
    does. ``ask``, ``never``: its owner types `cluster models install`; others read that the owner has not agreed yet,
    or never will."""

    site: Annotated[str | None, Reader.NODE] = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """The place of this node: a room, a building. Nodes of one site share their way to the broker. None: told by the
    network in which this node reaches the broker, with its gateway; ``local`` on the broker's own machine."""

    lan: Annotated[Literal["never", "allow"], Reader.NODE] = "never"
    """Whether other nodes of this site may reach this one, to train a network together (``--topology ring``).
    ``never``: no port is opened. ``allow``: ports are opened on the address by which it reaches the broker, for one
    round each."""

    edge_url: Annotated[SecretStr | None, Reader.NODE] = None
    """The Redis of this site, as ``redis://[:password@]host[:port][/db]`` or ``rediss://…``: parts of a site are joined
    there and go to the broker as one (``--topology tree``). All nodes of a site must have the same one. None: they go
    to the broker."""

    @property
    def chunk_s(self) -> int:
        """Seconds that a chunk may take at most."""
        return self.chunk_time_limit_s + self.chunk_time_grace_s

    @property
    def cache_folder(self) -> Path:
        """``cache_dir`` with ``~`` resolved."""
        return self.cache_dir.expanduser()

    @property
    def data_folder(self) -> Path:
        """``data_dir`` with ``~`` resolved."""
        return self.data_dir.expanduser()

    @property
    def bundle_cache(self) -> Path:
        """The folder of the bundles that this machine fetched."""
        return self.cache_folder / "bundles"

    @property
    def models_folder(self) -> Path:
        """``models_dir`` with ``~`` resolved."""
        return self.data_folder / "models" if self.models_dir is None else self.models_dir.expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=_file())
        return (init_settings, env_settings, toml)

    def given_broker(self) -> str:
        """The broker's URL as its user wrote it, for programs that read these settings by themselves.

        Raises:
            errors.BrokerError: None is set.
        """
        if self.broker_url is None:
            raise errors.BrokerError(
                "no cluster to talk to: set CLUSTER_BROKER_URL or CLUSTER_BROKER_URL_FILE, or give --broker URL"
                " (or start `cluster web` here, or `cluster up`, which prints it)"
            )
        return self.broker_url.get_secret_value()

    def require_broker(self) -> str:
        """The broker's URL to connect to: one of sentinels also says which Redis they are asked for.

        Raises:
            errors.BrokerError: None is set.
        """
        url = self.given_broker()
        if not url.startswith("sentinel://"):
            return url
        named = {"master": self.sentinel_master}
        if self.sentinel_password:
            named["sentinel_password"] = self.sentinel_password.get_secret_value()
        return f"{url}?{urlencode(named)}"


def reader(name: str) -> Reader:
    """The programs that a setting is for."""
    [found] = (one for one in Settings.model_fields[name].metadata if isinstance(one, Reader))
    return found


def load(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` that are not None win.

    Raises:
        errors.BadSetting: A value cannot be used, or a name; the message names the setting, the value, the form.
    """
    _check_names()
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise errors.BadSetting(problems) from None
    except (OSError, ValueError) as error:
        raise errors.BadSetting(f"the config file {_file()} cannot be read: {error}") from None
    file = settings.broker_url_file
    is_given = overrides.get("broker_url") is not None or _is_variable("broker_url")
    if file is not None and not is_given and (settings.broker_url is None or _is_variable("broker_url_file")):
        settings = settings.model_copy(update={"broker_url": SecretStr(read_broker_url(file))})
    _check_urls(settings)
    return settings


def read_broker_url(file: Path) -> str:
    """The broker's URL out of a file that holds nothing else, or the line that `cluster up` prints.

    Raises:
        errors.BadSetting: It cannot be read, or holds something else.
    """
    try:
        lines = file.expanduser().read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise errors.BadSetting(f"the broker's URL is to be read from {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        lines = []
    found = [line.strip().removeprefix(f"export {PREFIX}BROKER_URL=").strip("'\"") for line in lines if line.strip()]
    if len(found) != 1:
        raise errors.BadSetting(f"{file} must hold the broker's URL and nothing else, in one line")
    return found[0]


def _is_variable(name: str) -> bool:
    """Whether the environment gives a setting."""
    return any(value and key.upper() == PREFIX + name.upper() for key, value in os.environ.items())


def unknown_variables() -> list[str]:
    """The variables ``CLUSTER_…`` that have a value and are no settings, sorted."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, "config")}
    named = (name for name, value in os.environ.items() if value and name.upper().startswith(PREFIX))
    return sorted(name for name in named if name.upper() not in known)


def _check_names() -> None:
    """Raise ``errors.BadSetting`` for a variable that was or nearly is a setting, or a missing config file."""
    for variable in unknown_variables():
        name = variable.upper().removeprefix(PREFIX).lower()
        if name in RENAMED:
            raise errors.BadSetting(f"{variable} is now called {PREFIX}{RENAMED[name].upper()}")
        near = difflib.get_close_matches(name, (*Settings.model_fields, "config"), 1, NEARLY)
        if near and not SERVICE.search(variable.upper()):
            raise errors.BadSetting(f"there is no setting {variable}; did you mean {PREFIX}{near[0].upper()}?")
    if os.environ.get("CLUSTER_CONFIG") and (not _file().exists() or _file().is_dir()):
        what = "is a folder" if _file().is_dir() else "is not there"
        raise errors.BadSetting(f"CLUSTER_CONFIG is {str(_file())!r}, which {what}; it must name a file")


def _file() -> Path:
    return Path(os.environ.get("CLUSTER_CONFIG") or DEFAULT_CONFIG).expanduser()


@functools.cache
def current() -> Settings:
    """The settings of this process, read once."""
    return load()


def _describe(problem: Any) -> str:
    name = "_".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":  # the environment holds what others set, and is not looked through
        given = name.lower().removeprefix("cluster_")
        if given in RENAMED:
            return f"{_file()}: {name} is now called {RENAMED[given]}"
        near = difflib.get_close_matches(given, Settings.model_fields, 1)
        return f"{_file()}: there is no setting {name}" + (f"; did you mean {near[0]}?" if near else "")
    value = "***" if "url" in name else repr(problem["input"])
    variable = PREFIX + name.upper()
    said = variable if _is_variable(name) else f"{_file()}: {name}"
    return f"{said} is {value}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _check_urls(settings: Settings) -> None:
    """Raise ``errors.BadSetting`` for a URL that is none of a Redis; it shows no password."""
    if settings.broker_url is not None:
        _check_url("the broker URL", settings.broker_url.get_secret_value(), sentinels=True)
    if settings.edge_url is not None:
        _check_url("CLUSTER_EDGE_URL", settings.edge_url.get_secret_value(), sentinels=False)


def _check_url(said: str, url: str, *, sentinels: bool) -> None:
    scheme, _, rest = url.partition("://")
    schemes = {part.partition("://")[0] for part in url.split(";")}
    is_sentinels = sentinels and schemes == {"sentinel"}
    if not rest or (not is_sentinels and scheme not in ("redis", "rediss")):
        more = ", or sentinel://[:password@]host[:port];sentinel://…/db" if sentinels else ""
        raise errors.BadSetting(
            f"{said} starts with {repr(scheme + '://') if rest else 'no scheme'};"
            f" it must be redis://[:password@]host[:port][/db] or rediss://…{more}"
        )
    for address in url.split(";") if is_sentinels else [url]:
        try:
            part = urlsplit(address)
            is_odd = bool(part.fragment or "@" in part.path + part.query or part.port == 0)
        except ValueError:  # which would show the piece of a password that stands where the port should
            is_odd = True
        if is_odd:
            raise errors.BadSetting(
                f"{said} cannot be used: its port must be a number, and in a password # / ? @ : are written"
                " %23 %2F %3F %40 %3A"
            )
        if not re.fullmatch(r"/?[0-9]*/?", part.path):
            raise errors.BadSetting(f"the database of {said} is {part.path[1:]!r}; it must be a number")
    if not is_sentinels:
        _check_options(said, scheme, urlsplit(url).query)
    elif any(urlsplit(address).query for address in url.split(";")):
        raise errors.BadSetting(
            "a broker URL of sentinels takes no options; CLUSTER_SENTINEL_MASTER and CLUSTER_SENTINEL_PASSWORD do that"
        )


def _check_options(said: str, scheme: str, query: str) -> None:
    """Let only those options of a URL through that redis-py takes and that do not change what it gives."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in URL_TIMES:
            try:
                fits = float(value) > 0
            except ValueError:
                fits = False
            if not fits:
                raise errors.BadSetting(f"{said} says {name}={value}; it must be more than 0 seconds")
        elif name.startswith("ssl_") and scheme != "rediss":
            raise errors.BadSetting(f"{said} has the option {name}, which is for rediss://…")
        elif name not in URL_OPTIONS:
            raise errors.BadSetting(
                f"{said} has the option {name}, which is none of {', '.join((*URL_TIMES, *URL_OPTIONS))}"
            )
