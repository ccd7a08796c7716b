"""Logging of commands and workers: what a line looks like, where it goes, how its file is rotated.

A call names its event and what it is about, beside a sentence for people:

    log.warning("chunk 3 failed: …", extra={"event": "failed", "run": run, "chunk": 3, "node": node})

As text that is ``2026-11-05 10:31:07 WARNING worker@kitchen: chunk 3 failed: …``; as JSON an object a line with the
fields of ``JsonFormatter``. A line of a worker that names no node is about the worker's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from cluster.errors import ClusterError
    from cluster.settings import Settings

STAYING = ("master", "serve", "web")
"""Commands that nobody watches."""
ABOUT = ("event", "run", "chunk", "node")
"""Names in ``extra`` that become fields of a log line."""
EACH_TASK = ("celery.app.trace", "celery.worker.strategy")
"""Celery's loggers that write a line or two for each task: what chunks come to is told by ours."""
log = logging.getLogger(__name__)


def set_up(
    config: Settings, level: int, *, others: int = logging.WARNING, node: str | None = None, file: str | None = None
) -> None:
    """Send all log lines of this process, and of those it forks, where the settings say; drops former handlers.

    Args:
        config: Names the form, the file and its limits; without a file, lines go to stderr.
        level: The least weight of our own lines.
        others: That of the libraries' lines. Those about each task come only if it is DEBUG.
        node: The node that this process is.
        file: Wins over the file of ``config``.

    Raises:
        OSError: The file cannot be written.
    """
    path = file or config.log_file
    handler: logging.Handler = StderrHandler()
    if path:
        handler = RotatingHandler(Path(path).expanduser(), config.log_max_bytes, config.log_backups)
    handler.setFormatter(JsonFormatter(node) if config.log_format == "json" else TextFormatter(node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("multiprocessing").handlers[:] = [handler]  # billiard's, which hands nothing on to the root
    root.setLevel(others)
    logging.getLogger("cluster").setLevel(level)
    for name in EACH_TASK:
        logging.getLogger(name).setLevel(logging.NOTSET if others <= logging.DEBUG else logging.WARNING)
    for name in ("celery.worker.request", "celery.backends.redis"):
        logging.getLogger(name).addFilter(_without_traceback)
    logging.getLogger("celery.app.trace").addFilter(_is_no_reject)


def format_option(callback: Callable[[click.Context, click.Parameter, Any], Any] | None = None) -> click.Option:
    """``--log-format``, for ``celery -A cluster worker`` and the commands of ``cluster``."""
    forms = click.Choice(["text", "json"])
    return click.Option(
        ["--log-format"],
        type=forms,
        help="Form of log lines; by default that of CLUSTER_LOG_FORMAT, or text.",
        callback=callback,
        expose_value=callback is None,
    )


def set_up_command(config: Settings, name: str, form: str | None) -> None:
    """Set up the log of the command ``name`` of ``cluster``; ``form`` wins over that of the settings."""
    level = _level(config, logging.INFO if name in STAYING else logging.WARNING)
    set_up(_with_format(config, form), level)


def set_up_worker(worker: Any, options: Mapping[str, Any], config: Settings) -> None:
    """Set up the log of a worker and its children, in place of Celery's.

    Args:
        worker: Celery's ``Worker`` that is about to be set up, under its final name.
        options: What its command line gave; ``--loglevel`` and ``--logfile`` count.
        config: Of this node.
    """
    from celery import signals
    from celery.utils.nodenames import node_format

    config = _with_format(config, options.get("log_format"))
    context = click.get_current_context(silent=True)
    if context and context.get_parameter_source("loglevel") is ParameterSource.COMMANDLINE:
        level = others = options["loglevel"]
    else:  # Celery's own default is WARNING
        level, others = _level(config, logging.INFO), logging.WARNING
    file = options.get("logfile")
    set_up(config, level, others=others, node=worker.hostname, file=file and node_format(file, worker.hostname))
    worker.quiet = worker.quiet or config.log_format == "json"  # no banner among the objects
    signals.setup_logging.connect(_is_done, weak=False)


def warn_of_variables(names: Sequence[str]) -> None:
    """Tell once in a process which variables look like settings and are none."""
    if names:
        said = f"{', '.join(names)}: {'this is no setting' if len(names) == 1 else 'these are no settings'} of cluster"
        log.warning("%s; ignored", said, extra={"event": "unknown-variables"})


def _with_format(config: Settings, form: str | None) -> Settings:
    return config.model_copy(update={"log_format": form}) if form else config


def _level(config: Settings, default: int) -> int:
    return logging.getLevelNamesMapping()[config.log_level] if config.log_level else default


def _without_traceback(record: logging.LogRecord) -> bool:
    """A child that died, or a chord whose body found no Redis, is one line: what it was about is found missing."""
    record.exc_info = None
    return True


def _is_no_reject(record: logging.LogRecord) -> bool:
    """Not that a task put back its message, with a traceback: it said so itself."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "Reject"


def _is_done(**_: Any) -> None:
    """Heard by Celery: with a receiver of its signal, it leaves logging alone."""


class TextFormatter(logging.Formatter):
    """Local time, weight, node, message; the message on one line, unable to steer a terminal."""

    def __init__(self, node: str | None = None) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows on lines of its own."""
        node = getattr(record, "node", None) or self._node
        about = f"{plain(node)}: " if node else ""
        line = f"{self.formatTime(record, self.datefmt)} {record.levelname} {about}{plain(record.getMessage())}"
        return f"{line}\n{plain_lines(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """An object a line: time (ISO 8601, UTC), level, logger, event, run, chunk, node, message; exc with a traceback.

    What a line is not about is null.
    """

    def __init__(self, node: str | None = None) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The line. Pure ASCII, so that it is whole in any encoding."""
        about = {name: getattr(record, name, None) for name in ABOUT}
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **about,
            "node": about["node"] or self._node,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exc"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is now: while a progress bar is shown, that puts lines above it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Never kept."""
        return sys.stderr


class RotatingHandler(WatchedFileHandler):
    """A rotated file that the processes of a node, and other programs, write at the same time.

    No line is lost and no process waits: a line is one write at the end of the file, wherever that has been moved
    meanwhile. The process that finds the file too large moves it, unless another process is about to. So a process
    that is stopped at any point blocks no other.

    Args:
        path: ``path`` is written, ``path.1`` (the latest) to ``path.<backups>`` are kept.
        max_bytes: From this size on the file is moved; it is larger by the lines that come while it is.
        backups: At least 1.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self._max_bytes, self._backups = max_bytes, backups
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line to the file that has the name now; then move it if it is full."""
        try:
            super().emit(record)
            if self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self._max_bytes:
                self._rotate(self.stream)
        except OSError:
            self.handleError(record)

    def _rotate(self, stream: IO[str]) -> None:
        """Move the file that is open as ``stream``, and the older ones before it."""
        path = Path(self.baseFilename)
        try:
            # A record lock: it is not handed on to children, and goes with the process that holds it.
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # somebody else has it
            return
        try:
            if _is(path, stream):  # else it was moved before we had the lock
                places = range(1, self._backups + 1)
                free = next((number for number in places if not _backup(path, number).exists()), self._backups)
                for number in range(free, 1, -1):
                    _backup(path, number - 1).replace(_backup(path, number))
                path.replace(_backup(path, 1))
        finally:
            fcntl.lockf(stream, fcntl.LOCK_UN)


def plain(text: str) -> str:
    """Text from elsewhere on one line, unable to steer a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plain_lines(text: str) -> str:
    """Text of several lines of ours, of which none can steer a terminal."""
    return "\n".join(map(plain, text.split("\n")))


def plain_json(text: str) -> str:
    """JSON of the same value, unable to steer a terminal."""
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
        for line in text.split("\n")
    )


def told(error: ClusterError) -> SystemExit:
    """How a program that is not our command line ends with an error, after it has said so on stderr."""
    with contextlib.suppress(OSError):
        print(f"cluster: {of_error(error)}", file=sys.stderr)
    return SystemExit(error.exit_code)


def of_error(error: object) -> str:
    """Return an error's message. Lines after the first are indented: a quoted line cannot pass for a log line."""
    first, *more = str(error).split("\n")
    return "\n  ".join([plain(first), *(plain(line.lstrip(" ")) for line in more)])


def _is(path: Path, stream: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _backup(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
