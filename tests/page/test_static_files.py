"""What the pages are made of: small, and without what the content security policy refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit.programs import ROOT

WEB = ROOT / "cluster" / "web"
SCRIPTS = sorted((WEB / "static").glob("*.js"))
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
KB = 1000
SCRIPTS_BYTES = 40 * KB
"""Of one page, all its scripts together."""
MODULE_BYTES, SHARED_BYTES = 8 * KB, 10.5 * KB
"""Of a script; of `page.js`, which all others stand on."""
STYLE_BYTES = 12 * KB
MOST_FILES = 6
"""A page, its style and its scripts: a browser that has never seen the page asks for so many."""
MORE_FILES = {"run.html": 7}
"""Of a run in rounds, with two scripts for its curves."""
NEVER_IN_SCRIPTS = {
    "text read as HTML": r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment",
    "text read as a program": r"\beval\(|new Function|set(Timeout|Interval)\(\s*['\"`]",
    "a style as text": r"setAttribute\(\s*['\"]style|style:\s*[`'\"]|cssText",
    "a handler as text": r"setAttribute\(\s*['\"]on",
}
NEVER_IN_TEMPLATES = {
    "text that is not escaped": r"\|\s*safe\b|Markup\(|autoescape",
    "a handler in HTML": r"<[^>]*\son\w+\s*=(?!=)",
    "a style in HTML": r"<[^>]*\sstyle\s*=|<style",
    "a program in HTML": r"<script(?![^>]*\ssrc=)|javascript:",
    "something of another site": r"(src|href|action)=\"(https?:)?//",
}


def test_the_style_stays_within_its_budget() -> None:
    assert (WEB / "static" / "style.css").stat().st_size <= STYLE_BYTES


def test_no_width_of_a_window_changes_a_colour() -> None:
    """So colours are examined in one width: ``browser.EXAMINED``."""
    narrow = re.findall(r"@media \([^)]*width.*?(?=^@|\Z)", (WEB / "static" / "style.css").read_text(), re.M | re.S)
    assert len(narrow) == 2
    assert [rule for rule in narrow if re.search(r"color|background|fill|stroke|shadow|opacity|--\w", rule)] == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_the_scripts_of_a_page_stay_within_their_budget(file: Path) -> None:
    names = scripts_of(file)
    assert sum((WEB / "static" / name).stat().st_size for name in names) <= SCRIPTS_BYTES, names
    assert 2 + len(names) <= MORE_FILES.get(file.name, MOST_FILES), names


def scripts_of(template: Path) -> set[str]:
    """Those that a template asks for, with all that it includes and extends, and what these import."""
    texts = {template.name: template.read_text()}
    while missing := {name for text in texts.values() for name in used(text)} - texts.keys():
        texts |= {name: (WEB / "templates" / name).read_text() for name in missing}
    found = {name for text in texts.values() for name in re.findall(r'scripts\("([\w.]+\.js)"\)', text)}
    while more := {name for script in found for name in imported(script)} - found:
        found |= more
    return found


def used(template: str) -> list[str]:
    return re.findall(r'{%-? (?:include|extends|from) "([\w.]+\.html)"', template)


def imported(script: str) -> list[str]:
    return re.findall(r"(?:from|import)\s*\(?'\./([\w.]+\.js)'", (WEB / "static" / script).read_text())


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_reads_no_text_as_a_program(file: Path) -> None:
    assert file.stat().st_size <= (SHARED_BYTES if file.name == "page.js" else MODULE_BYTES)
    assert found_in(file.read_text(), NEVER_IN_SCRIPTS) == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_escapes_all_and_has_no_program_within(file: Path) -> None:
    assert found_in(file.read_text(), NEVER_IN_TEMPLATES) == []


def test_what_must_never_be_there_is_found() -> None:
    assert len(found_in("a.innerHTML = b; eval(c); x.setAttribute('style', d); setTimeout('e')", NEVER_IN_SCRIPTS)) == 4
    bad = '<a onclick="x" style="y" href="//z">{{ it | safe }}</a><script>a</script>'
    assert len(found_in(bad, NEVER_IN_TEMPLATES)) == len(NEVER_IN_TEMPLATES)


def found_in(text: str, never: dict[str, str]) -> list[str]:
    return [f"{what}: {found[0]}" for what, form in never.items() for found in re.finditer(form, text)]
