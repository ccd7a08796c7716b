"""What `cluster submit` and its like find out before any work is begun."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

import click
import pytest
from click.testing import CliRunner

from aggregators import counts
from cluster import catalog, cli, client, errors, settings
from cluster.cli import output, result, resume, submit
from cluster.cli.kept_cluster import KEPT
from cluster.cli.progress import PlainView, Progress
from cluster.client import machine, nodes, own_cluster, session, submission
from cluster.format import Format
from cluster.functions import Lazy
from cluster.job import Job
from cluster.ledger.row import RunRow
from cluster.ledger.status import from_ledger
from cluster.option import Option
from splitters import Chunk, Item


def no_numpy(*, model: str | None = None) -> str:
    return "NumPy is not installed"


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine can do none of the jobs about faces."""
    jobs = {name: dataclasses.replace(job, why_unavailable=no_numpy) for name, job in catalog.jobs().items()}
    monkeypatch.setattr(catalog, "jobs", lambda: MappingProxyType(jobs))


@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize("more", [(), ("--detach",)])
def test_who_cannot_make_the_model_is_told_what_to_type_before_anything_is_started(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("connect", "existing"):
        monkeypatch.setattr(client, name, None)  # to call one would raise a TypeError
    done = CliRunner().invoke(submit.command, ["--job", "faces-train", "--model", "office", str(tmp_path), *more])
    assert isinstance(done.exception, errors.JobUnavailable)
    said = str(done.exception)
    assert "NumPy is not installed" in said
    assert f'{sys.executable} -m pip install "cluster[faces]"' in said


@pytest.mark.usefixtures("poor")
def test_a_job_that_trains_nothing_is_for_others_to_do() -> None:
    machine.require_model_can_be_made(catalog.get("faces"))


def test_who_coordinates_rounds_needs_no_library_of_their_task() -> None:
    able = dataclasses.replace(catalog.TRAIN, why_unavailable=lambda: "torch is not installed")
    machine.require_model_can_be_made(able)
    assert able.rounds is not None
    unable = dataclasses.replace(able, rounds=able.rounds._replace(why_unavailable=lambda: "numpy is not installed"))
    with pytest.raises(errors.JobUnavailable, match="numpy is not installed"):
        machine.require_model_can_be_made(unable)


def test_who_can_make_the_model_goes_on() -> None:
    able = dataclasses.replace(catalog.FACES_TRAIN, why_unavailable=lambda *, model=None: "")
    machine.require_model_can_be_made(able)


def test_what_goes_on_in_the_background_is_given_the_broker_as_it_was_given_to_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL to connect to names the sentinels' master, and would name it twice."""
    url = "sentinel://:secret@a;sentinel://b/0"
    given: dict[str, str] = {}
    monkeypatch.setattr("subprocess.Popen", lambda command, env, **_: given.update(env) or Mock())
    submission.spawn(settings.load(broker_url=url), "run-1", (), tmp_path / "log", ())
    assert given["CLUSTER_BROKER_URL"] == url


@pytest.mark.parametrize(
    ("typed", "told"),
    [(["sumbit"], "Did you mean 'submit'?"), (["submit", "--job", "orc", "x"], "did you mean ocr?")],
)
def test_a_mistyped_command_or_job_gets_a_suggestion(
    typed: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(typed)
    assert ended.value.code == errors.UsageError.exit_code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "quiet", "kept"),
    [(True, False, None), (True, False, "redis://:secret@127.0.0.1:7/0"), (True, True, None), (False, False, None)],
)
def test_who_names_no_broker_is_told_on_a_terminal(
    terminal: bool, quiet: bool, kept: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_redis(*_: object) -> None:
        raise errors.NoRedisServer

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(session.Session, "__enter__", no_redis)
    monkeypatch.setattr(own_cluster, "running", lambda config: kept)
    to, job = output.prepare(catalog.get("wordcount"), "json", {}, None), catalog.get("wordcount")
    with client.connect().prepare(job, {}) as prepared, pytest.raises(errors.NoRedisServer):
        submit._submit(prepared, (__file__,), to, quiet=quiet)
    told = "no broker is set (CLUSTER_BROKER_URL, --broker): on this machine only"
    if kept:
        told += f", not on {KEPT} (redis://:***@127.0.0.1:7/0). To work on that one, type first the line"
        told += " `export CLUSTER_BROKER_URL=…` that it printed when it was started"
    assert capsys.readouterr().err == (f"{told}\n" if terminal and not quiet else "")


def test_a_result_may_go_where_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As /dev/null, where --detach without -o sends it: only root may make files in /dev."""
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    to = output.prepare(catalog.get("wordcount"), "json", {}, Path("/dev/null"))
    assert to.output == Path("/dev/null")


def test_a_result_that_would_replace_the_input_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one")
    with pytest.raises(errors.UsageError, match="would write over the input"):
        output.prepare(catalog.get("wordcount"), "json", {}, tmp_path / "." / "words.txt", source=(str(words),))


def test_a_slash_at_the_end_names_no_file(tmp_path: Path) -> None:
    refused = r"names a folder, but --format json writes a file: leave out the /"
    with pytest.raises(errors.UsageError, match=refused):
        output.prepare(catalog.get("wordcount"), "json", {}, f"{tmp_path}/counts/")
    to = output.prepare(catalog.get("ocr"), "text-folder", {}, f"{tmp_path}/texts/")
    assert to.output == tmp_path / "texts"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (submit.command, ["--job", "wordcount", __file__]),
        (result.command, ["run-1", "-q"]),
        (resume.command, ["run-1"]),
    ],
)
def test_a_dash_as_output_is_stdout(
    command: click.Command, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(command, "callback", lambda **given: told.update(given))
    assert CliRunner().invoke(command, [*arguments, "-o", "-"]).exit_code == 0
    assert told.get("output", told.get("target")) is None
    assert told["quiet"] is ("-q" in arguments)


def test_the_help_of_a_job_is_about_that_job() -> None:
    told = CliRunner().invoke(submit.command, ["--job", "faces", "--help"], terminal_width=100).output
    for words in (
        "The job faces: find the faces on pictures and tell whose they are.",
        "--format [json|jsonl|csv]",
        "Formats of its result: json, jsonl, csv.",
        "how large a chunk is, in pictures",
        "--annotate FOLDER",
        "cluster submit --job faces --model office ./party",
        "Exit codes:",
    ):
        assert words in told
    assert told.index("Options of faces:") < told.index("--model") < told.index("Options:") < told.index("--detach")
    assert "wordcount" not in told
    assert "--annotate" not in CliRunner().invoke(submit.command, ["--job", "ocr", "--help"]).output
    assert "Jobs: ocr, wordcount" in CliRunner().invoke(submit.command, ["--help"]).output
    own_job = CliRunner().invoke(submit.command, ["--job", "tag-train", "--help"]).output
    assert "cluster submit --job tag-train --model MODEL INPUT..." in own_job


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--job", "ocr", "--top", "3", "x"], "--top is an option of wordcount, onnx, not of ocr"),
        (["--lang=deu", "x"], "--lang is an option of ocr, scan-wait, which --job must name"),
        (["--job", "ocr", "--lag", "deu", "x"], "No such option '--lag'."),
    ],
)
def test_an_option_of_another_job_is_named_as_such(arguments: list[str], told: str) -> None:
    assert told in CliRunner().invoke(submit.command, arguments).output


def test_a_broker_may_be_named_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    (tmp_path / "hub.url").write_text("redis://:secret@host:1/0\n")
    monkeypatch.setattr(resume.command, "callback", lambda **given: told.update(given))
    by_file = ["run-1", "--broker-file", str(tmp_path / "hub.url")]
    assert CliRunner().invoke(resume.command, by_file).exit_code == 0
    assert told["broker"] == "redis://:secret@host:1/0"
    assert CliRunner().invoke(resume.command, ["run-1", "--broker", "redis://other"]).exit_code == 0
    assert told["broker"] == "redis://other"
    both = CliRunner().invoke(resume.command, [*by_file, "--broker", "redis://other"])
    assert (both.exit_code, "leave one out" in both.output) == (errors.UsageError.exit_code, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://host:1/0", "CLUSTER_BROKER_URL='redis://host:1/0' cluster worker"),
        (
            "redis://:secret@host:1/0",
            "CLUSTER_BROKER_URL='redis://:***@host:1/0' cluster worker"
            " (for *** the password, as in the line that `cluster up` printed)",
        ),
    ],
)
def test_the_line_that_joins_says_where_the_password_is(url: str, told: str) -> None:
    assert nodes.join_line(settings.load(broker_url=url)) == told


def test_a_link_to_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latest.json").symlink_to(tmp_path / "nowhere" / "1.json")
    with pytest.raises(errors.UsageError, match="there is no folder"):
        output.prepare(catalog.get("wordcount"), "json", {}, tmp_path / "latest.json")


def test_a_link_that_another_user_put_there_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "result.json"
    link.symlink_to(tmp_path / "precious")
    wordcount = catalog.get("wordcount")
    output.prepare(wordcount, "json", {}, link)
    if os.geteuid():
        monkeypatch.setattr("os.geteuid", lambda: 1)
    else:
        os.lchown(link, 1, 1)
    with pytest.raises(errors.UsageError, match="link of another user"):
        output.prepare(wordcount, "json", {}, link)
    with pytest.raises(OSError, match="link of another user"):
        output.write(wordcount.writer("json", {}), [], link)
    assert not (tmp_path / "precious").exists()


def test_a_result_on_a_terminal_cannot_steer_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    wordcount = catalog.get("wordcount")
    output.write(wordcount.writer("json", {}), [counts.of({"\x9b2J\u202e": 1, "ü": 2})], None)
    assert capsys.readouterr().out == '{\n  "ü": 2,\n  "\\u009b2J\\u202e": 1\n}\n'


def test_progress_that_nobody_can_read_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(PlainView, "show", refuse)
    monkeypatch.setattr(PlainView, "close", refuse)
    status = from_ledger(
        "run-1",
        RunRow(state="running", job="wordcount", started_at=0.0),
        {},
        {},
        {},
        failed=0,
        running=0,
        now_s=1,
    )
    asked = []
    with Progress(lambda: asked.append(1) or status, list) as progress:  # type: ignore[func-returns-value]
        progress._next = 0
        progress()
    assert asked


def test_a_file_that_is_write_protected_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.json").write_text("kept")
    output.prepare(catalog.get("wordcount"), "json", {}, tmp_path / "out.json")
    monkeypatch.setattr("os.access", lambda path, mode: False)  # as it is for all but root
    with pytest.raises(errors.UsageError, match="write-protected"):
        output.prepare(catalog.get("wordcount"), "json", {}, tmp_path / "out.json")


def test_a_result_that_no_run_would_read_may_lie_in_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.json").touch()
    output.prepare(catalog.get("ocr"), "json", {}, tmp_path / "texts.json", source=[str(tmp_path)])
    (tmp_path / ".results").mkdir()
    (tmp_path / ".results" / "counts.json").touch()
    for there in (".counts.json", ".results/counts.json"):
        output.prepare(catalog.get("wordcount"), "json", {}, tmp_path / there, source=[str(tmp_path)])
    assert capsys.readouterr().err == ""


def test_a_splitter_that_minds_such_a_file_keeps_no_run_from_beginning(tmp_path: Path) -> None:
    def split(source: Any, *, chunk_size: int = 1) -> Any:
        raise RuntimeError("not like that")

    job = dataclasses.replace(catalog.get("wordcount"), split=split)
    output.prepare(job, "json", {}, tmp_path / "counts.json", source=[str(tmp_path)])


def test_a_full_disk_names_the_output(tmp_path: Path) -> None:
    def fill(parts: Any, out: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        output.write(Format(fill), [], tmp_path / "out.json")
    assert caught.value.filename == str(tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def about_twice(source: Any, *, chunk_size: int = 1, net: str = "mlp") -> Iterator[Chunk]:
    yield [Item("about", f"{net} of {len(source)}".encode())]
    raise AssertionError("no plan needs a shard")


def prepare_net(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "net": Path(given["net"]).read_text()}


@pytest.fixture
def planning(monkeypatch: pytest.MonkeyPatch) -> Job:
    task = Lazy("nowhere:nothing")
    mode = Option("mode", str, "local", "how", choices=("local", "sync"))
    origin = Option("origin", str, None, "what to start with", word="from")
    job = Job(
        name="planned", about="", split=about_twice, task=task, aggregate=task, prepare=prepare_net,
        options=(Option("net", str, "mlp", "a file"), mode, origin),
        plan=lambda about, *, mode, origin: f"{mode} {about.decode()} from {origin}",
    )  # fmt: skip
    monkeypatch.setattr(catalog, "jobs", lambda: MappingProxyType({"planned": job, "wordcount": catalog.WORDCOUNT}))
    return job


@pytest.mark.usefixtures("planning")
def test_a_plan_is_printed_and_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "connect", None)  # to call it would raise a TypeError
    (tmp_path / "net").write_text("cnn")
    given = ["--job", "planned", "--net", str(tmp_path / "net"), "--mode", "sync", "--from", "a:3", "--plan", "x"]
    done = CliRunner().invoke(submit.command, given, catch_exceptions=False, standalone_mode=False)
    assert done.stdout == "sync cnn of 1 from a:3\n"


@pytest.mark.usefixtures("planning")
def test_a_job_without_a_plan_says_so() -> None:
    done = CliRunner().invoke(submit.command, ["--job", "wordcount", "--plan", "x"])
    assert isinstance(done.exception, errors.UsageError)
    assert str(done.exception) == "the job wordcount has no plan to show: leave out --plan"


@pytest.mark.usefixtures("planning")
def test_choices_of_a_job_are_choices_of_the_command() -> None:
    told = CliRunner().invoke(submit.command, ["--job", "planned", "--mode", "synk", "x"])
    assert "'synk' is not one of 'local', 'sync'" in told.stderr


def test_a_program_submits_with_options_that_the_job_prepares(
    planning: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").write_text("cnn")
    prepared = client.local().prepare("planned", {"net": str(tmp_path / "net")})
    assert prepared.options == {"net": "cnn", "mode": "local", "origin": None, "chunk_size": 1}
    with pytest.raises(errors.UsageError, match="none"):
        client.local().prepare("planned", {"net": str(tmp_path / "none")})


@pytest.mark.usefixtures("planning")
def test_the_command_submits_with_options_that_the_job_prepares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").write_text("cnn")
    submitted = Mock(return_value=0)
    monkeypatch.setattr(submit, "_submit", submitted)
    CliRunner().invoke(
        submit.command, ["--job", "planned", "--net", str(tmp_path / "net"), "x"], catch_exceptions=False
    )
    assert submitted.call_args.args[0].options["net"] == "cnn"
