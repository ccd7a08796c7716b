"""The command line: every wrong use is one clear sentence and the documented exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cli import COMMANDS, SUMMARIES
from tasks import ocr
from tests.kit import programs
from tests.kit.commands import cluster
from tests.kit.programs import Worker, environment

NO_REDIS = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_text("some words\n")
    return tmp_path / "words.txt"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("submit --job nonsense {words}", 2, "no job 'nonsense' (there are: ocr, wordcount"),
        ("submit", 2, "INPUT"),
        ("submit {words}", 2, "--job"),
        ("submit --job wordcount", 2, "INPUT"),
        ("submit --job wordcount {folder}/nowhere", 2, "no such file or folder: {folder}/nowhere"),
        ("submit --job ocr {folder}", 2, "no pages in {folder}"),
        ("submit --job wordcount --lang deu {words}", 2, "--lang is an option of ocr, scan-wait, not of wordcount"),
        ("submit --job wordcount --top none {words}", 2, "'none' is not a valid integer"),
        ("submit --job wordcount --top 0 {words}", 2, "--top"),
        ("submit --job wordcount --top 99999999999999999999999 {words}", 2, "below 2**63"),
        ("submit --job wordcount {words}/below", 2, "Not a directory"),
        ("submit --job wordcount {loop}", 2, "Too many levels"),
        ("submit -jwordcount --top none {words}", 2, "'none' is not a valid integer"),
        ("submit --job measure {empty}", 2, "nothing for the job measure"),
        ("submit --job measure --seconds nan {words}", 2, "below 2**63"),
        ("submit --job wordcount {words} --broker redis://[::1", 2, "cannot be used"),
        ("submit --job wordcount {words} --broker redis://host/0?foo=bar", 2, "has the option foo, which is none of"),
        ("submit --job wordcount {words} --broker redis://:pa/secret@127.0.0.1:1", 2, "%2F"),
        ("submit --job wordcount --chunk-size 0 {words}", 2, "--chunk-size"),
        ("submit --job wordcount --chunk-size 999999999999 {words}", 2, "chunk_size is 999999999999"),
        ("submit --job wordcount --format xml {words}", 2, "job wordcount has no format 'xml'"),
        ("submit --job ocr --format text-folder {words}", 2, "give it with -o FOLDER"),
        ("submit --job wordcount -o {folder} {words}", 2, "is a folder"),
        ("submit --job wordcount -o {folder}/no/out.json {words}", 2, "there is no folder {folder}/no"),
        ("submit --job wordcount --annotate {folder}/out {words}", 2, "leave out --annotate"),
        ("submit --job faces --annotate {folder} {picture}", 2, "would write over the input {picture}"),
        ("submit --job faces --annotate {folder}/out {folder}", 2, "lies in the input {folder}"),
        ("submit --job faces --annotate {folder}/out -o {folder}/out {picture}", 2, "are both {folder}/out"),
        ("submit --job faces --annotate {words} {picture}", 2, "is no folder"),
        ("submit --job faces --annotate= {picture}", 2, "a path is empty"),
        ("submit --job faces --model nobody {picture}", 2, "no bundle 'nobody'"),
        ("submit --job faces-train {folder}", 2, "faces-train needs --model"),
        ("submit --job wordcount --detach {words}", 2, "cluster up"),
        ("submit --job wordcount {words} --broker " + NO_REDIS, 4, "no Redis answers at redis://:***@127.0.0.1:1/0"),
        ("submit --job wordcount {words} --broker http://host", 2, "must be redis://"),
        ("submit --job ocr --lang tlh {words}", 6, "no Tesseract data for the language tlh"),
        ("submit --job ocr --lang ../x {words}", 6, "is no name of a language"),
        ("status", 4, "set CLUSTER_BROKER_URL"),
        ("status x --broker " + NO_REDIS, 4, "no Redis answers"),
        ("result x", 4, "set CLUSTER_BROKER_URL"),
        ("runs --most 0", 2, "--most"),
        ("runs --yes", 2, "go with --prune"),
        ("runs --prune --older-than soon", 2, "'soon' is no duration such as 90s"),
        ("nonsense", 2, "No such command 'nonsense'"),
        ("up --port 99999", 2, "--port"),
    ],
)
def test_wrong_use_is_one_clear_sentence(arguments: str, code: int, says: str, words: Path) -> None:
    (words.parent / "loop").symlink_to(words.parent / "loop")
    (words.parent / "empty").mkdir()
    place = {name: words.parent / name for name in ("loop", "empty", "picture")}
    place |= {"words": words, "folder": words.parent}
    done = cluster(*arguments.format(**place).split())
    assert done.returncode == code, done.stderr
    assert says.format(**place) in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", ["status", "result", "cancel"])
def test_an_unknown_run_is_wrong_use(command: str, redis_url: str) -> None:
    done = cluster(command, "nobody", "--broker", redis_url)
    assert done.returncode == 2
    assert "no run 'nobody' in this cluster" in done.stderr


def test_a_wrong_password_is_said_at_once(redis_url: str, words: Path) -> None:
    url = redis_url.replace("secret", "guessed")
    done = cluster("submit", "--job", "wordcount", words, "--broker", url)
    assert done.returncode == 4
    assert "refuses the user or password" in done.stderr
    assert "guessed" not in done.stderr


def test_the_program_names_a_bad_setting_and_exits(words: Path) -> None:
    done = programs.cluster("submit", "--job", "wordcount", words, settings={"CLUSTER_MAX_IN_FLIGHT_BYTES": "much"})
    assert (done.returncode, "CLUSTER_MAX_IN_FLIGHT_BYTES is 'much'" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_ends_with_examples(command: str) -> None:
    done = cluster(command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert SUMMARIES[command] in " ".join(cluster("--help").stdout.split())


def test_the_help_of_submit_shows_the_options_of_the_job() -> None:
    assert "--max-megapixels" in cluster("submit", "--job", "ocr", "--help").stdout
    assert "--max-megapixels" not in cluster("submit", "--job", "wordcount", "--help").stdout


def test_a_single_file_an_option_and_a_format(words: Path) -> None:
    done = programs.cluster("submit", "-j", "wordcount", "--top", "1", words)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"some": 1})


def test_the_good_pages_of_a_picture_are_given_and_the_bad_one_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    if problem := ocr.why_unavailable(lang="eng"):
        pytest.skip(problem)
    from PIL import Image

    with Image.new("L", (60, 40), 255) as page:
        page.save(tmp_path / "book", format="PPM")  # a name without a suffix
    data = (tmp_path / "book").read_bytes()
    (tmp_path / "book").write_bytes(data + data + data[:-1])
    done = cluster("submit", "-j", "ocr", tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (3, {"book": "\f\f"})
    assert "book: page 3 of 3: damaged: image file is truncated" in done.stderr


def test_jobs_and_doctor_tell_scripts_what_is_there() -> None:
    jobs = {job["name"]: job for job in json.loads(cluster("jobs", "--json").stdout)}
    assert jobs["ocr"]["split"] == "splitters.pages.split"
    assert jobs["ocr"]["task"] == "tasks.ocr.read_pages"
    assert [option["flag"] for option in jobs["wordcount"]["options"]] == ["--top", "--chunk-size"]
    doctor = json.loads(cluster("doctor", "--json").stdout)
    assert {job["name"] for job in doctor["jobs"]} >= {"ocr", "wordcount"}
    assert doctor["slots"] >= 1


def test_a_machine_without_the_engine_says_how_to_add_it(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules.update(PIL=None); from cluster.cli import main; main(sys.argv[1:])"
    (tmp_path / "words.png").write_bytes(b"x")
    command = [sys.executable, "-c", hidden]
    env = environment()
    doctor = subprocess.run([*command, "doctor"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert "ocr: no, Pillow is not installed; to add it: " in doctor.stdout
    assert 'pip install "cluster[ocr]"' in doctor.stdout
    submit = [*command, "submit", "--job", "ocr", str(tmp_path)]
    done = subprocess.run(submit, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    assert "this machine cannot do the job ocr: Pillow is not installed; to add it: " in done.stderr


def test_a_worker_in_a_folder_with_a_tasks_package_of_its_own_stops_and_names_both(
    tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "tasks.py").write_text("print('not ours')")
    worker = Worker("lost", redis_url, tmp_path)
    worker.by_fork = False  # it looks as it starts
    worker.start()
    assert worker.process.wait(30) != 0
    assert f"the package 'tasks' would come from {tmp_path}/tasks.py and not from " in worker.text()


@pytest.mark.parametrize(("url", "says"), [(NO_REDIS, "no Redis answers"), ("", "CLUSTER_BROKER_URL")])
def test_a_worker_without_a_broker_stops_with_one_sentence(url: str, says: str, tmp_path: Path) -> None:
    worker = Worker("lost", url, tmp_path).start()
    assert worker.process.wait(30) != 0
    assert says in worker.text()
    assert "Traceback" not in worker.text()


def test_output_to_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(" ".join(f"word{at}" for at in range(30_000)))  # more than a pipe holds
    command = f"{sys.executable} -m cluster submit --job wordcount {tmp_path} | head -c 10"
    done = subprocess.run(
        command, shell=True, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert len(done.stdout) == 10, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_result_that_the_next_run_would_read_is_not_written_twice(words: Path) -> None:
    command = ("submit", "--job", "wordcount", words.parent, "-o", words.parent / "counts.json")
    first = cluster(*command)
    assert first.returncode == 0, first.stderr
    assert "a next run would read it, too" in first.stderr
    again = cluster(*command)
    assert again.returncode == 2
    assert "would be read, and written over" in again.stderr
    assert json.loads((words.parent / "counts.json").read_bytes()) == {"some": 1, "words": 1}


def test_a_stream_that_a_format_has_closed_changes_no_exit_code() -> None:
    code = (
        "import sys; from cluster import cli; sys.stdout.buffer.close();"
        " cli.commands.main = lambda *_, **__: 3; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
