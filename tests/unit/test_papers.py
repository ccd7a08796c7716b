"""What the pages name exists, links lead somewhere, generated pages are fresh, and every message is explained."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cluster import catalog, cli, errors, settings, texts
from cluster.bundles import content
from tasks.onnx import parameters
from tests.kit import reference
from tests.kit.programs import ROOT

PAPERS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests" / "benchmarks").glob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)
HISTORY = {"CHANGELOG.md", "LOG.md"}
"""They tell of names that are gone."""
PAGES = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in PAPERS if path.name not in HISTORY]
ALL = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in PAPERS]
README_WORDS = 650
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
VARIABLES = {
    "CLUSTER_CONFIG",
    "CLUSTER_PASSWORD",
    "CLUSTER_ADMIN_PASSWORD",
    "CLUSTER_LISTEN",
    "CLUSTER_HOST",
    "CLUSTER_FIRST",
}
"""Variables that are no settings: those of the compose files, and the name of the config file."""


@pytest.mark.parametrize("paper", ALL)
def test_every_link_leads_to_a_file_and_a_heading(paper: Path) -> None:
    for link in LINK.findall(paper.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (paper.parent / name).resolve() if name else paper
        assert target.exists(), f"{paper.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{paper.name} links to {link}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as repository browsers name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_is_linked_from_another_one() -> None:
    linked = {
        (paper.parent / link.partition("#")[0]).resolve()
        for paper in PAPERS
        for link in LINK.findall(paper.read_text())
        if "://" not in link
    }
    alone = {path.relative_to(ROOT).as_posix() for path in PAPERS if path not in linked}
    assert alone <= {"README.md"}


@pytest.mark.parametrize("paper", PAGES)
def test_every_path_and_recipe_that_a_page_names_exists(paper: Path) -> None:
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in code_of(paper):
        for recipe in re.findall(r"(?:^|[;&`] *)make ([a-z-]+)", code):
            assert recipe in recipes, f"make {recipe}"
        for path in re.findall(
            r"(?<![\w/.~-])((?:cluster|tasks|splitters|aggregators|deploy|docs|tests|\.ci)/[\w./-]*)", code
        ):
            assert (ROOT / path).exists() or "<" in code, path
        for name in re.findall(r"(?<![\w/.~-])([a-z]\w*\.(?:lua|acl|service))\b", code):
            assert any((ROOT / "cluster").rglob(name)) or any((ROOT / "deploy").rglob(name)), name


def test_the_code_map_has_a_row_for_each_folder() -> None:
    """And for each file that stands in ``cluster`` itself."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    named = set(re.findall(r"`([\w./]+)`", " ".join(rows)))
    folders = {path.parent.relative_to(ROOT).as_posix() + "/" for path in (ROOT / "cluster").glob("*/__init__.py")}
    files = {path.name for path in (ROOT / "cluster").glob("*.py") if not path.name.startswith("__")}
    assert folders | files <= named


@pytest.mark.parametrize("paper", PAGES)
def test_every_command_and_option_that_a_page_names_exists(paper: Path) -> None:
    for code in code_of(paper):
        for line in (line.partition(" # ")[0] for line in code.split("\n")):
            for said in re.findall(r"(?:^|[ `$/])cluster ([a-z][^|;#&]*)", line):
                words = re.sub("'[^']*'", "QUOTED", said).split()  # what is quoted is the value of an option
                if words[0] in cli.COMMANDS:
                    check_options(words)
                elif line.strip().startswith(("cluster ", "$ cluster ")):
                    pytest.fail(f"there is no command: {line}")


def check_options(words: list[str]) -> None:
    """See that a command has the options that it is shown with; a job's are those of any job."""
    context = click.Context(cli.commands, info_name="cluster", **cli.commands.context_settings)
    command = cli.commands.get_command(context, words[0])
    assert command is not None
    for word in words[1:]:
        if not isinstance(command, click.Group) or not re.fullmatch("[a-z][a-z-]*", word):
            break
        inner = command.get_command(context, word)
        assert inner is not None, " ".join(words)
        command = inner
    known = {flag for one in command.get_params(context) for flag in (*one.opts, *one.secondary_opts)}
    if words[0] in ("submit", "serve", "simulate"):
        known |= {option.flag for job in catalog.BUILT_IN for option in (*job.options, job.chunk_size)}
        known |= {"--min-length"}  # of the example package
    for word in words[1:]:
        flag = word.partition("=")[0].rstrip("`,.):…")
        if re.fullmatch(r"-[a-zA-Z]|--[a-z][a-z-]*", flag):
            assert flag in known, f"cluster {' '.join(words)}: {flag}"


def code_of(paper: Path) -> Iterator[str]:
    """What is written as code: spans, indented and fenced blocks."""
    text = paper.read_text()
    yield from re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    yield from re.findall(r"^ {4,}(.+)$", text, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("paper", PAGES)
def test_every_setting_that_a_page_names_exists(paper: Path) -> None:
    known = {f"CLUSTER_{name.upper()}" for name in settings.Settings.model_fields} | VARIABLES
    if paper.name == "settings.md":  # it lists old names, too
        known |= {f"CLUSTER_{name.upper()}" for name in settings.RENAMED}
    assert set(re.findall(r"\bCLUSTER_[A-Z_]*[A-Z]\b", paper.read_text())) <= known


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_as_make_docs_writes_it(name: str) -> None:
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run `make docs`"


def test_the_readme_fits_on_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


def test_the_readme_names_the_wheel_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for page in ("README.md", "docs/howto/install.md"):
        assert set(re.findall(r"cluster-([\d.]+)-py3", (ROOT / page).read_text())) == {version}, page


def test_python_on_the_pages_is_python() -> None:
    for paper in PAPERS:
        for code in re.findall(r"```python\n(.*?)```", paper.read_text(), re.DOTALL):
            ast.parse(code)


def test_the_bundle_on_the_page_of_models_can_be_used(tmp_path: Path) -> None:
    [text] = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "howto" / "models.md").read_text(), re.DOTALL)
    assert set(json.loads(text)) == set(content.DESCRIBED)
    (tmp_path / "bundle.json").write_text(text)
    (tmp_path / "birds.onnx").touch()
    (tmp_path / "labels.txt").write_text("robin\nwren\n")
    assert parameters.read(tmp_path).softmax


def test_the_page_of_exit_codes_has_them_all() -> None:
    text = (reference.FOLDER / "exit-codes.md").read_text()
    codes = {
        one.exit_code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ClusterError)
    }
    for code in (*codes, errors.ITEMS_MISSING_EXIT_CODE, errors.INTERRUPTED_EXIT_CODE):
        assert f"| {code} |" in text


def test_a_decision_says_when_why_and_at_what_cost() -> None:
    folder = ROOT / "docs" / "explain" / "decisions"
    index = (folder / "README.md").read_text()
    for page in set(folder.glob("*.md")) - {folder / "README.md"}:
        text = page.read_text()
        [title], [date] = (
            re.findall(r"^# (.+)$", text, re.MULTILINE),
            re.findall(r"^Date: ([\d-]+)$", text, re.MULTILINE),
        )
        heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert heads == ["Context", "Choice", "What was tried", "Cost"], page.name
        assert f"| {date} | [{title}]({page.name}) |" in index


def test_the_page_of_events_has_them_all() -> None:
    of_runs, _, of_logs = (reference.FOLDER / "events-and-logs.md").read_text().partition("\n## Logs\n")
    assert in_rows(of_runs) == {*texts.EVENTS, "done", "failed", "cancelled"}
    code = "\n".join(path.read_text() for path in (ROOT / "cluster").rglob("*.py"))
    written = set(re.findall(r'"event": "([a-z-]+)"', code)) - {*texts.EVENTS, "chunk-failed"}  # the last is an example
    assert not written - in_rows(of_logs)


def in_rows(page: str) -> set[str]:
    """The code in the first cells of the tables of a page."""
    cells = re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)}


EXPLAINED = 12
"""Fewer signs of a message say nothing by themselves: its other words are looked for."""


def messages() -> Iterator[tuple[str, list[str]]]:
    """Where our errors are raised, and the fixed words of their messages."""
    for path in sorted((ROOT / "cluster").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="errors"), attr=name), args=[message, *_]) if (
                    hasattr(errors, name)
                ):
                    if words := [word for word in fixed(message) if len(word.strip()) >= EXPLAINED]:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", words


def fixed(message: ast.expr) -> list[str]:
    match message:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr(values=values):
            return [part.value for part in values if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return []


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", text).lower().split())


def test_the_page_of_errors_explains_every_message() -> None:
    page = plain((reference.FOLDER / "errors.md").read_text())
    lacking = [f"{where}: {words}" for where, words in messages() if not shown(max(words, key=len), page)]
    assert not lacking, "docs/reference/errors.md does not have:\n" + "\n".join(lacking)


def shown(words: str, page: str) -> bool:
    """Whether the page has the beginning of these words: it may leave the end of a long message out."""
    return plain(words)[:40].strip() in page


def test_the_script_of_the_generated_pages_runs_by_itself() -> None:
    assert importlib.util.find_spec("tests.kit.reference") is not None
    assert ".kit.reference" in (ROOT / "Makefile").read_text()


def test_the_install_page_lists_every_extra_and_its_size() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs/howto/install.md").read_text()
    listed = re.findall(r"^\| `([a-z]+)` \| .+ \| \d+ \|$", page, re.MULTILINE)
    assert sorted(listed) == sorted(extras.keys() - {"test", "check"})
