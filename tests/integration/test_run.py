"""A run on real workers, submitted by the real command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog, celery_app, errors, keys, settings
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import MAP
from tests.kit import inputs, programs
from tests.kit.commands import cluster
from tests.kit.held import Held
from tests.kit.inputs import texts
from tests.kit.looking import begun, no_message_is_left, published
from tests.kit.programs import DATA, ROOT, Worker, start_cluster
from tests.kit.waiting import line_with, wait_until


@pytest.fixture(scope="module")
def workers(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Two nodes of two slots each."""
    folder = tmp_path_factory.mktemp("workers")
    found = [Worker(name, redis_url, folder, "-c", "2") for name in ("one", "two")]
    try:
        for worker in found:
            worker.start()
        for worker in found:
            worker.wait_until_ready()
        yield found
    finally:
        for worker in found:
            worker.kill()


@pytest.fixture
def broker(redis_url: str, workers: list[Worker]) -> str:
    return redis_url


def status(broker: str, run: str) -> dict[str, Any]:
    done = cluster("status", run, "--json", "--broker", broker)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_id(stderr: str) -> str:
    [summary] = [line for line in stderr.splitlines() if " on 1 node" in line or " on 2 nodes" in line]
    return summary.partition(":")[0]


NEEDLESS = {
    "cluster.accounts", "cluster.bundles.store", "cluster.cli.dry_run", "cluster.cli.new_files",
    "cluster.client.forecast", "cluster.client.memory", "cluster.coordinator.checkpoints", "cluster.coordinator.rounds",
    "cluster.embedded", "cluster.rounds", "cluster.searchable", "cluster.simulation", "cluster.topology", "getpass",
    "numpy", "sqlite3", "statistics",
}  # fmt: skip
"""What a submitter of a job without rounds and models has no use for, where there is a broker."""


def test_a_submit_loads_only_what_its_job_needs(broker: str, tmp_path: Path) -> None:
    code = (
        "import atexit, sys; from cluster.cli import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main(sys.argv[1:])"
    )
    submit = ("submit", "-q", "--job", "wordcount", texts(tmp_path / "in", 2), "-o", tmp_path / "out.json")
    done = subprocess.run(
        [sys.executable, "-c", code, *submit, "--broker", broker], env=programs.environment(), capture_output=True,
        text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "cluster.coordinator.split" in loaded
    assert not NEEDLESS & loaded
    readers = {name for name in loaded if name.startswith("splitters.")}
    assert readers == {f"splitters.{name}" for name in ("files", "items", "lines", "page_names", "spool", "suffixes")}
    assert {name for name in loaded if name.startswith("aggregators.")} <= {
        "aggregators.by_name", "aggregators.counts", "aggregators.slots", "aggregators.tally"
    }  # fmt: skip


@pytest.mark.parametrize("name", list(inputs.TABLE))
def test_the_answer_of_the_cluster_is_that_of_run_locally(
    name: str, broker: str, stores: Stores, tmp_path: Path
) -> None:
    job = catalog.get(name)
    if job.why_not_here():
        pytest.skip(job.why_not_here())
    (tmp_path / "in").mkdir()
    source = inputs.small(name, tmp_path / "in")
    size = str(inputs.TABLE[name].chunk_size)
    output = tmp_path / "out.json"
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    model = inputs.submitted(job, stores.models.bundles, tmp_path / "there")
    done = cluster("submit", "--job", name, *model, "--chunk-size", size, source, "-o", output, "--broker", broker)
    assert done.returncode == 0, done.stderr
    expected = job.run_locally(source, **inputs.options(name, tmp_path / "here"))
    inputs.check(name, expected)
    assert inputs.same(job, json.loads(output.read_text()), expected)
    assert done.stdout == ""


def test_two_workers_share_a_run(broker: str, tmp_path: Path) -> None:
    source, trace = texts(tmp_path / "in", 4, "meet 4"), tmp_path / "trace"  # all at the same time
    done = cluster("submit", "--job", "once", "--trace", trace, source, "--broker", broker)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == catalog.get("once").run_locally(source, trace=str(trace))
    assert status(broker, run_id(done.stderr))["nodes"] == {"one@test": 2, "two@test": 2}


def test_the_status_tells_what_scripts_need(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 3)
    (source / "bad.txt").write_text("refuse")
    done = cluster("submit", "--job", "measure", source, "--broker", broker)
    found = status(broker, run_id(done.stderr))
    assert (
        found.items()
        >= {
            "job": "measure",
            "state": "done",
            "items_total": 4,
            "items_done": 3,
            "items_failed": 1,
            "failures": [{"item": "bad.txt", "reason": "asked to refuse"}],
        }.items()
    )
    assert found["started_at"] < found["finished_at"]


def test_a_run_with_items_missing_names_them_and_exits_with_3(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 3)
    (source / "refused.txt").write_text("refuse")
    (source / "failing.txt").write_text("fail always")
    (source / "unreadable.txt").symlink_to(tmp_path / "nowhere")
    done = cluster("submit", "--job", "measure", source, "--broker", broker)
    assert done.returncode == 3
    assert sorted(json.loads(done.stdout)) == ["000.txt", "001.txt", "002.txt"]
    assert "3 of 6 done, 3 failed" in done.stderr
    for line in (
        "refused.txt: asked to refuse",
        "failing.txt: RuntimeError: asked to fail always",
        "unreadable.txt: cannot be read: No such file or directory",
    ):
        assert line in done.stderr


def test_files_of_other_kinds_are_told_wherever_the_run_is_asked_for(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    for name in (*(f"scan{at}.pdf" for at in range(20)), "IMG.heic", "a.gif"):
        (source / name).write_bytes(b"\0")
    detached = programs.cluster("submit", "--job", "wordcount", source, "--detach", "--broker", broker)
    assert detached.returncode == 0, detached.stderr
    run = detached.stdout.strip()
    told = "22 files are of no kind this job reads (20 .pdf, 1 .heic, 1 .gif)"
    done = cluster("result", run, "--wait", "--broker", broker)
    assert (done.returncode, json.loads(done.stdout)["some"]) == (0, 2)
    assert told in done.stderr.splitlines()
    assert told in cluster("status", run, "--broker", broker).stdout.splitlines()
    assert status(broker, run)["passed_over"] == {".pdf": 20, ".heic": 1, ".gif": 1}


def test_a_result_that_cannot_be_written_hides_nothing_that_is_missing(broker: str, tmp_path: Path) -> None:
    if problem := catalog.get("ocr").why_not_here():
        pytest.skip(problem)
    (tmp_path / "in").mkdir()
    long = f"{'x' * 251}.png"  # with .txt behind it no name for a file
    for name in (long, "broken.png"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    from PIL import Image

    Image.new("L", (50, 50), 255).save(tmp_path / "in" / long)
    into = ("--format", "text-folder", "-o", tmp_path / "out", "--broker", broker)
    submitted = cluster("submit", "--job", "ocr", tmp_path / "in", *into)
    asked = cluster("result", run_id(submitted.stderr), *into)
    for done in (submitted, asked):
        assert done.returncode == errors.ITEMS_MISSING_EXIT_CODE
        assert "  broken.png: not a picture" in done.stderr
        assert "xxx.png': File name too long" in done.stderr
    listed = cluster("result", run_id(submitted.stderr), "--format", "jsonl", "--broker", broker)
    [row] = map(json.loads, listed.stdout.splitlines())
    assert row["node"] in ("one@test", "two@test")


def test_a_run_of_which_nothing_is_readable_ends_with_an_empty_result(broker: str, tmp_path: Path) -> None:
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    done = cluster("submit", "--job", "measure", tmp_path, "--broker", broker)
    assert (done.returncode, done.stdout) == (3, "{}\n")


def test_a_chunk_that_fails_once_is_tried_again(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    (source / "flaky.txt").write_text("fail once")
    trace = tmp_path / "trace"
    done = cluster("submit", "--job", "once", "--trace", trace, source, "--broker", broker)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flaky.txt"] == "9"
    assert trace.read_text().count("flaky.txt ") == 2
    assert status(broker, run_id(done.stderr))["retries"] == 1


def test_a_chunk_whose_process_dies_is_done_by_another(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    (source / "deadly.txt").write_text("kill once")
    done = cluster("submit", "--job", "measure", "--trace", tmp_path / "trace", source, "--broker", broker)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deadly.txt"] == "9"


def test_a_chunk_that_kills_every_process_is_given_up(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    (source / "deadly.txt").write_text("kill always")
    done = cluster("submit", "--job", "measure", source, "--broker", broker)
    assert done.returncode == 3, done.stderr
    assert sorted(json.loads(done.stdout)) == ["000.txt", "001.txt"]
    assert "deadly.txt: its process was ended 3 times, most likely because memory ran out" in done.stderr


def test_a_chunk_that_takes_too_long_is_ended_and_given_up(redis_url: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    (source / "long.txt").write_text("sleep long")
    (source / "deaf.txt").write_text("sleep deaf")
    url = f"{redis_url[:-1]}4"
    limits = {"CLUSTER_CHUNK_TIME_LIMIT_S": "1", "CLUSTER_CHUNK_TIME_GRACE_S": "3", "CLUSTER_MAX_ATTEMPTS": "2"}
    with Worker("hasty", url, tmp_path, "-c", "2"):
        done = cluster("submit", "--job", "measure", source, "--broker", url, settings=limits)
    assert done.returncode == 3, done.stderr
    assert sorted(json.loads(done.stdout)) == ["000.txt", "001.txt"]
    assert "long.txt: took longer than its time limit" in done.stderr
    assert "deaf.txt: took longer than 4 s and could not be interrupted" in done.stderr


def test_a_partial_that_kills_every_process_fails_the_run(broker: str, tmp_path: Path) -> None:
    done = cluster("submit", "--job", "bomb", texts(tmp_path / "in", 2), "--broker", broker)
    assert done.returncode == 5
    assert "joining parts was begun 3 times and never ended" in done.stderr


def test_a_run_that_cannot_be_left_to_the_background_is_not_begun(broker: str, tmp_path: Path, stores: Stores) -> None:
    before = [run.run for run in stores.ledger.runs.latest(100)]
    (tmp_path / "file").touch()
    no_folder = {"CLUSTER_CACHE_DIR": str(tmp_path / "file" / "below")}
    source = texts(tmp_path / "in", 2)
    done = programs.cluster("submit", "--job", "measure", source, "--detach", "--broker", broker, settings=no_folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert [run.run for run in stores.ledger.runs.latest(100)] == before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_run_whose_submitter_is_gone_ends_without_it(
    number: signal.Signals, broker: str, tmp_path: Path, stores: Stores
) -> None:
    with Held(tmp_path, 20) as held:
        arguments = ("submit", "--job", "measure", *held.options, held.source, "--broker", broker)
        with start_cluster(*arguments) as submit:
            run = wait_until("all is published", lambda: published(stores, 20))
            wait_until("the input is read", lambda: stores.ledger.runs.progress(run).split_ended)
            submit.send_signal(number)
            _, err = submit.communicate(timeout=30)
    assert submit.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert number == signal.SIGKILL or f"cluster resume {run}" in err
    done = cluster("result", run, "--wait", "--broker", broker)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == held.answer()


def test_a_part_that_cannot_travel_fails_its_chunk_alone(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 2)
    (source / "odd.txt").write_text("no part")
    done = cluster("submit", "--job", "measure", source, "--broker", broker)
    assert done.returncode == 3
    assert "odd.txt: a part cannot be packed" in done.stderr


def test_messages_replayed_by_hand_change_nothing(broker: str, tmp_path: Path) -> None:
    config = settings.load(broker_url=broker)
    app, stores = celery_app.build(config), Stores.connect(config)
    with Held(tmp_path, 8) as held:
        arguments = ("submit", "--job", "measure", *held.options, held.source, "--broker", broker)
        with start_cluster(*arguments) as submit:
            run = wait_until("the run is published", lambda: published(stores, 8))
            publish.publish_batch(app, "measure", run, 0, [range(at, at + 1) for at in range(4)], RunPolicy())
            publish.publish_batch(app, "measure", run, 1, [range(4, 8)], RunPolicy())
            publish.start_aggregate(app, "measure", run, Partial(0, 0), RunPolicy().limits)
            held.release()
            out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert json.loads(out) == held.answer()
    for chunk in range(4):
        publish.publish_chunk(app, "measure", run, chunk, RunPolicy().limits)
    wait_until("all messages are taken", lambda: no_message_is_left(stores, run))
    found = stores.ledger.runs.status(run)
    assert found.duplicates >= 1
    assert (found.items_done, found.chunks_settled, sum(found.nodes.values())) == (8, 8, 8)
    app.close()


@pytest.mark.parametrize("message", [{}, None, "text", {"run": "../x", "chunk": 0}])
def test_a_message_of_wrong_shape_is_rejected_and_the_worker_goes_on(
    message: Any, broker: str, workers: list[Worker], tmp_path: Path
) -> None:
    app = celery_app.build(settings.load(broker_url=broker))
    before = sum(worker.text().count("a message is rejected") for worker in workers)
    app.send_task(MAP, (message,), queue=keys.queue("measure"))
    wait_until(
        "it is rejected", lambda: sum(worker.text().count("a message is rejected") for worker in workers) > before
    )
    app.close()
    done = cluster("submit", "--job", "measure", texts(tmp_path / "in", 4), "--broker", broker)
    assert done.returncode == 0, done.stderr


def test_a_cancelled_run_stops_and_its_submitter_says_so(broker: str, tmp_path: Path, stores: Stores) -> None:
    source = texts(tmp_path / "in", 200)
    with start_cluster("submit", "--job", "measure", "--seconds", "0.2", source, "--broker", broker) as submit:
        run = wait_until("the run has begun", lambda: begun(stores))
        done = cluster("cancel", run, "--broker", broker)
        _, err = submit.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert submit.returncode == 5
    assert "was cancelled" in err
    assert status(broker, run)["state"] == "cancelled"
    assert cluster("result", run, "--broker", broker).returncode == 5


def test_ctrl_c_pauses_the_run_and_the_same_command_goes_on(broker: str, tmp_path: Path, stores: Stores) -> None:
    source, trace = texts(tmp_path / "in", 40), tmp_path / "trace"
    command = ("submit", "--job", "once", "--seconds", "0.1", "--trace", trace, source, "--broker", broker)
    with start_cluster(*command) as submit:
        run = wait_until("the run has begun", lambda: begun(stores))
        submit.send_signal(signal.SIGINT)
        out, err = submit.communicate(timeout=30)
    assert (submit.returncode, out) == (130, "")
    assert "Traceback" not in err
    [said] = [line for line in err.splitlines() if "paused" in line]
    assert said.startswith(f"{run}: paused, ")
    assert f"cluster cancel {run}" in said
    assert status(broker, run)["paused"] == "the submitter was stopped"
    wait_until("what was under way is done", lambda: not stores.ledger.chunks.claimed(run))
    done = status(broker, run)["items_done"]
    again = cluster(*command)
    assert again.returncode == 0, again.stderr
    assert f"goes on with {run}: {done} of " in again.stderr
    assert json.loads(again.stdout) == catalog.get("once").run_locally(source)
    assert trace.read_text().count("\n") == 40  # none twice
    assert status(broker, run)["state"] == "done"


def test_a_killed_submitter_leaves_a_run_that_its_command_goes_on_with(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    with Held(tmp_path, 8) as held:
        command = ("submit", "--job", "once", *held.options, held.source, "--broker", broker)
        with start_cluster(*command) as submit:
            run = wait_until("both nodes work", lambda: published(stores, 8) if len(held.begun()) == 4 else "")
            submit.kill()
        with start_cluster(*command) as again:
            assert again.stderr is not None
            line_with(f"goes on with {run}", again.stderr)
            held.release()
            out, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    begun_once = sorted(held.begun())
    assert json.loads(out) == held.answer()
    assert begun_once == sorted(held.answer())


def test_a_run_is_paused_and_resumed_from_another_machine(broker: str, tmp_path: Path, stores: Stores) -> None:
    source = texts(tmp_path / "in", 30)
    with start_cluster("submit", "--job", "measure", "--seconds", "0.1", source, "--broker", broker) as submit:
        run = wait_until("the run has begun", lambda: begun(stores))
        paused = cluster("pause", run, "--broker", broker)
        assert (paused.returncode, f"{run}: paused, " in paused.stderr) == (0, True)
        assert f"{run}: paused (by cluster pause)" in cluster("status", run, "--broker", broker).stdout
        assert " paused " in cluster("runs", "--broker", broker).stdout
        wait_until("nothing of it is worked on", lambda: not stores.ledger.chunks.claimed(run))
        assert submit.poll() is None
        assert status(broker, run)["chunks_settled"] < 30
        resumed = cluster("resume", run, "--broker", broker)
        assert (resumed.returncode, "goes on with" in resumed.stderr) == (0, True)
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)


def test_anew_begins_another_run_beside_one_that_was_stopped(broker: str, tmp_path: Path, stores: Stores) -> None:
    command = ("submit", "--job", "measure", "--seconds", "0.1", texts(tmp_path / "in", 20), "--broker", broker)
    with start_cluster(*command) as submit:
        run = wait_until("the run has begun", lambda: begun(stores))
        submit.send_signal(signal.SIGINT)
        submit.communicate(timeout=30)
    again = cluster(*command, "--anew")
    assert again.returncode == 0, again.stderr
    assert run not in again.stderr
    assert stores.ledger.runs.status(run).paused
    assert cluster("cancel", run, "--broker", broker).returncode == 0


def test_a_detached_run_goes_on_by_itself(broker: str, tmp_path: Path) -> None:
    cache = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    with Held(tmp_path, 20) as held:
        arguments = ("submit", "--job", "measure", *held.options, "--detach", held.source, "--broker", broker)
        done = programs.cluster(*arguments, settings=cache)
        assert done.returncode == 0, done.stderr
        run = done.stdout.strip()
        early = cluster("result", run, "--broker", broker)
    assert early.returncode == 5
    assert "still going on" in early.stderr
    late = cluster("result", run, "--wait", "--broker", broker)
    assert late.returncode == 0, late.stderr
    assert json.loads(late.stdout) == held.answer()
    listed = json.loads(cluster("runs", "--json", "--broker", broker).stdout)
    assert run in [row["run"] for row in listed]
    log = tmp_path / "cache" / "runs" / f"{run}.log"
    wait_until("the background process ended", lambda: "20 of 20 done" in log.read_text())


def test_batches_keep_what_is_on_its_way_within_limits(broker: str, tmp_path: Path, stores: Stores) -> None:
    limits = {"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "6", "CLUSTER_BATCH_CHUNKS": "4"}
    most = 0
    with Held(tmp_path, 60) as held:
        options = ("--job", "measure", "--seconds", "0.05", *held.options)
        with start_cluster("submit", *options, held.source, "--broker", broker, settings=limits) as submit:
            run = wait_until("as many as may be are on their way", lambda: published(stores, 6))
            held.release()
            while submit.poll() is None:
                found = stores.ledger.runs.status(run)
                most = max(most, found.chunks_published - found.chunks_settled)
            out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert len(json.loads(out)) == 60
    assert most <= 6


def test_blobs_may_lie_in_a_shared_folder(redis_url: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 6)
    (tmp_path / "blobs").mkdir()
    place = {"CLUSTER_BLOB_URL": f"file://{tmp_path}/blobs", "CLUSTER_INLINE_BYTES": "0"}
    # This node alone knows where the blobs are, so it alone may take the run's chunks.
    with Worker("files", f"{redis_url[:-1]}3", tmp_path, "-c", "2", **place):
        done = cluster("submit", "--job", "measure", source, "--broker", f"{redis_url[:-1]}3", settings=place)
        wait_until("only partials are left", lambda: all("/partials/" in path for path in files(tmp_path / "blobs")), 5)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == catalog.get("measure").run_locally(source)
    assert files(tmp_path / "blobs")


def files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.skipif(not DATA.is_dir(), reason="the scans are not on this machine")
@pytest.mark.timeout(300)
def test_receipts_give_what_run_locally_gives(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "receipts"
    source.mkdir()
    for path in sorted((DATA / "receipts").glob("*.jpg"))[:8]:
        (source / path.name).symlink_to(path)
    done = cluster("submit", "--job", "ocr", source, "--broker", broker)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == catalog.get("ocr").run_locally(source)
