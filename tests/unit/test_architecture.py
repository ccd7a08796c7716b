"""The shape of the code that ARCHITECTURE.md promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import keys
from cluster.wire import AGGREGATE, MAP
from tests.kit.programs import ROOT

PACKAGES = ("cluster", "tasks", "splitters", "aggregators")
SHARED = {"splitters.page_names"}
"""What splitters and aggregators alike go by: names of items with a meaning."""
HEAVY = {"PIL", "tesserocr", "pytesseract", "cv2", "numpy", "torch", "rich", "fsspec", "onnx"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    return {name.partition(".")[0] for name in names(ast.walk(ast.parse(path.read_text())))}


def names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module for alias in node.names if f"{node.module}.{alias.name}" not in SHARED)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("splitters", {"cluster", "celery", "kombu", "redis", "tasks", "aggregators"}),
        ("aggregators", {"cluster", "celery", "kombu", "redis", "tasks", "splitters"}),
        ("tasks", {"cluster", "celery", "kombu", "redis"}),
    ],
)
def test_imports_point_one_way(package: str, forbidden: set[str]) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not imported(path) & forbidden, path


def test_only_one_file_reads_the_environment() -> None:
    readers = [path for path in (ROOT / "cluster").rglob("*.py") if "os.environ" in path.read_text()]
    # Two only hand the whole environment on to a child, and one looks at a variable of NVIDIA's.
    allowed = {
        "cluster/settings.py", "cluster/embedded/guard.py", "cluster/placement.py", "cluster/worker/devices.py",
    }  # fmt: skip
    assert {path.relative_to(ROOT).as_posix() for path in readers} == allowed


def test_commands_write_by_functions_that_no_text_can_steer_a_terminal_through() -> None:
    """``say``, ``print_text`` and ``print_json``; the others write what they have made plain themselves."""
    written = re.compile(r"click\.s?echo|\bprint\(|std(out|err)\.(buffer\.)?write|std(out|err)\.buffer[,)]")
    writers = {path.name for path in (ROOT / "cluster" / "cli").glob("*.py") if written.search(path.read_text())}
    assert writers == {"__init__.py", "bundle_texts.py", "output.py", "progress.py", "shared.py"}


def test_one_file_uses_the_chords_and_groups_of_celery() -> None:
    """And one more may look at what a message says of its chord, before Celery does."""
    users = set()
    for path in (ROOT / "cluster").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            taken = node.names if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("celery") else []
            spoken = {alias.name for alias in taken} | ({node.attr} if isinstance(node, ast.Attribute) else set())
            if spoken & {"chord", "canvas"} or {alias.name for alias in taken} & {"group"}:
                users.add(path.relative_to(ROOT).as_posix())
    assert users == {"cluster/messaging/publish.py", "cluster/messaging/messages.py"}


def test_heavy_libraries_are_loaded_only_when_used() -> None:
    code = "import sys, cluster.catalog, cluster.celery_app, cluster.cli.submit; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.split()}


def test_who_knows_all_jobs_has_loaded_the_code_of_none() -> None:
    code = (
        "import sys; from cluster import catalog; before = set(sys.modules);"
        "catalog.OCR.options_of_run({'chunk_size': 1});"
        "print(*before); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    known, submitted = (set(line.split()) for line in done.stdout.splitlines())
    of_jobs = {name for name in known if name.partition(".")[0] in PACKAGES[1:]}
    assert of_jobs == {"splitters", "splitters.items", "splitters.suffixes"}
    assert "tasks.ocr_options" in submitted
    assert "tasks.ocr" not in submitted


def test_a_submitter_loads_nothing_of_what_a_node_does() -> None:
    code = (
        "import sys; from cluster import celery_app, settings;"
        "app = celery_app.build(settings.load(broker_url='redis://127.0.0.1:1'));"
        "from cluster.coordinator import failure_detector, split, supervise;"
        "print(*sys.modules, *app.tasks)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert "cluster.messaging.publish" in loaded
    assert (
        not {"cluster.worker.tasks", "cluster.worker.map_chunk", "cluster.worker.aggregate_parts", MAP, AGGREGATE}
        & loaded
    )


def test_commands_that_only_look_and_stop_start_without_celery() -> None:
    commands = ("cancel", "doctor", "models", "nodes", "result", "runs", "status", "submit")
    code = f"import sys, {', '.join(f'cluster.cli.{name}' for name in commands)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"celery", "kombu"} & {name.partition(".")[0] for name in done.stdout.split()}


NAMING = {"names.py", "redis_rows.py", "keys.py"}
"""The files where structured strings, rows in Redis and keys are built and read."""
SEPARATORS = {"@", ":", ";", ".", " ", "~", "-"}
FOREIGN = {
    "transport.py": {"partition '.'"},  # kombu's channels
    "content.py": {"startswith '.'"},  # hidden files
    "paths.py": {"startswith '.'"},
    "requirements.py": {"partition '.'"},  # modules
    "__init__.py": {"build 'cluster.cli.'"},
    "access.py": {"partition ';'"},  # media types
    "compressed.py": {"partition ';'"},  # how a browser takes an answer
    "certificate.py": {"build ':'"},  # alternative names of a certificate
    "flower.py": {"build ':'"},  # as Flower takes a password
    "folder.py": {"partition ';'"},  # URLs
    "functions.py": {"build ':'"},  # a function of a module
    "models.py": {"partition ' '"},  # what pip says
    "hub.py": {"build '.-'"},  # files of drafts
    "logs.py": {"build '.'"},  # rotated files
    "capacity.py": {"split ':'", "split ' '"},  # the kernel's files
    "downloads.py": {"partition '.'", "build '~'"},  # names of files for people
    "foreseeing.py": {"build '.'"},  # the end of a sentence
    "join.py": {"build ':'"},  # addresses
    "joining.py": {"build ':'"},
    "pictures.py": {"build '-'", "build '--'"},  # files of the page's pictures
    "redis_check.py": {"build ':'", "split '.'"},  # what Redis says
    "redis_outage.py": {"partition '.'"},  # redis-py's classes
    "redis_url.py": {"split ';'", "build ':@'"},
    "spool.py": {"build '.'", "removeprefix '.'", "startswith '.'"},  # names of files
    "spool_names.py": {"build '~'"},
    "settings.py": {"split ';'", "removeprefix 'cluster_'"},  # URLs, and variables
}
"""File -> another's format in it that looks like ours."""


def structured(code: str) -> set[str]:
    """Where code takes a string apart, or puts one together, as structured strings are."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=[ast.Constant(value=str() | bytes() as value), *_]):
                text = value.decode(errors="replace") if isinstance(value, bytes) else value
                reads = attr in ("partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix")
                asks = attr in ("startswith", "endswith") and text in SEPARATORS
                is_ours = text.startswith(("partial", ".partial", "cluster"))
                ours = attr in ("startswith", "endswith") and is_ours
                if (reads and (text in SEPARATORS or is_ours)) or asks or ours:
                    found.add(f"{attr} {text!r}")
            case ast.JoinedStr(values=[first, *more]):
                words = [str(part.value) for part in (first, *more) if isinstance(part, ast.Constant)]
                only_marks = bool(words) and set(words) <= SEPARATORS - {" "}
                opens = isinstance(first, ast.Constant) and words[0].startswith(("partial ", "cluster."))
                if only_marks or opens:
                    found.add(f"build {''.join(words)!r}")
    return found


@pytest.mark.parametrize(
    "code",
    [
        'capability.partition("@")[0]',
        'f"{capability}@{needs}"',
        'name.startswith("partial")',
        'text.split(";")',
        'f"{name}:{version}"',
        'f"partial {level}:{number}"',
        'row.split(" ", 2)',
        'queue.removeprefix("cluster.")',
        'raw.rpartition(b" ")',
    ],
)
def test_the_search_for_structured_strings_finds_them(code: str) -> None:
    assert structured(code)


def test_structured_strings_are_built_and_read_in_one_file() -> None:
    for path in (ROOT / "cluster").rglob("*.py"):
        if path.name not in NAMING:
            found = structured(path.read_text()) - FOREIGN.get(path.name, set())
            assert not found, f"{path} takes structured strings apart or builds them: {found}; see cluster/names.py"


def test_every_redis_key_is_made_in_one_file() -> None:
    for path in (ROOT / "cluster").rglob("*.py"):
        if path.name != "keys.py":
            assert not key_in(path.read_text()), path
    for path in (ROOT / "cluster").rglob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        assert not re.search(r"cluster[0-9]*[:.]", code), path
        assert path.name == "prelude.lua" or not re.search(r"\b(OURS|QUEUE)\b", code), path


def test_only_the_ledger_touches_the_keys_of_a_run() -> None:
    touched = re.compile(r"keys\.(?:run|parts)\([^)]*\)|keys\.(?:RUNS|OF_RUN)|\bledger\._?redis\b")
    for path in (ROOT / "cluster").rglob("*.py"):
        if path.parent.name != "ledger":
            found = set(touched.findall(path.read_text()))
            assert found <= {'keys.run(run, "outbox")'} if path.name == "publish.py" else not found, path


def key_in(code: str) -> bool:
    """Whether code holds a key, a queue or a scope, or an f-string of one."""
    ours = (
        rf"{re.escape(keys.OURS)}[a-z{{]", rf"{re.escape(keys.QUEUE)}[*{{]", r"runs/\{", r"bundles/\{",
        r"\{(?:keys\.)?(?:OURS|QUEUE|OLDER)\b",
    )  # fmt: skip
    return re.search(rf"[\"'](?:{'|'.join(ours)})", code) is not None


def test_the_search_for_keys_finds_each_that_is_made() -> None:
    made = re.findall(r'"([^"\s]*\{\w+\}[^"\s]*)"', Path(keys.__file__).read_text())
    named = [value for value in vars(keys).values() if isinstance(value, str)]
    constants = [value for value in named if re.fullmatch(rf"{keys.OURS}[a-z:]+", value)]
    assert len(made) > 8
    assert len(constants) > 8
    for key in (*(key for key in made if "{FORMAT}" not in key), *constants):
        assert key_in(f"pipe.get(f'{key}')"), key


def test_the_table_of_keys_names_each_key_that_is_made() -> None:
    rows = set(re.findall(rf"^\| ({re.escape(keys.OURS)}\S+) ", keys.__doc__ or "", re.MULTILINE))
    constants = {value for value in vars(keys).values() if isinstance(value, str) and value.startswith(keys.OURS)}
    made = {
        *(constants - {keys.OURS}),
        *(keys.run("R", what) for what in ("", *keys.OF_RUN)),
        keys.parts("R", "B"),  # type: ignore[arg-type]
        keys.ring("R", "N", "S"),  # type: ignore[arg-type]
        keys.unacked("INCARNATION"),
        keys.link("DIGEST"),
        keys.session("DIGEST"),
        keys.sessions("USER"),
        *(key("S") for key in (keys.leases, keys.replicas, keys.problems, keys.asked)),
        keys.requests("TARGET"),
        *(key("DIGEST") for key in (keys.link, keys.session, keys.invitation, keys.run_link)),
        keys.run_links("R"),
        keys.answers("GATEWAY"),
        keys.payload("GATEWAY", "N"),  # type: ignore[arg-type]
        keys.blobs("SCOPE"),
        keys.bundle("NAME"),
        keys.bundle_digests("NAME"),
    }
    assert rows == made


DECLARATIONS = {
    "catalog",
    "errors",
    "format",
    "functions",
    "inputs",
    "job",
    "logs",
    "names",
    "option",
    "placement",
    "settings",
    "texts",
    "__version__",
}
"""What a command may import of the project besides the client: what is declared, and how it is told."""
OWN_PROCESS = {
    "up.py": {"addresses", "embedded"},  # it is the cluster that it starts
    "web.py": {"addresses", "embedded", "roles", "web"},  # so is this, and it becomes the page
    "web_users.py": {"roles"},
    "token.py": {"roles"},
    "worker.py": {"celery_app", "redis_client"},  # it becomes `celery worker`
    "flower.py": {"celery_app", "embedded", "redis_client"},  # it becomes `celery flower`
}
"""What commands import that start a program of the cluster, and do nothing with a cluster that is there."""


@pytest.mark.parametrize("path", sorted((ROOT / "cluster" / "cli").glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_uses_the_client_and_nothing_else(path: Path) -> None:
    folders = {folder for folder in ours(ast.parse(path.read_text())) if folder not in ("cli", "client")}
    assert folders <= DECLARATIONS | OWN_PROCESS.get(path.name, set())


def ours(code: ast.AST) -> Iterator[str]:
    """The modules and folders right below ``cluster`` that code imports anywhere in it."""
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module == "cluster":
            yield from (alias.name for alias in node.names)
    for name in names(ast.walk(code)):
        if name.startswith("cluster."):
            yield name.split(".")[1]
