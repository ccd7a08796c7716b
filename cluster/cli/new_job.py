"""The files that ``cluster jobs new`` writes: those of ``job_template``, with the name of the job in them."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
import sys
from pathlib import Path

from cluster import catalog, errors, names

TEMPLATE = Path(__file__).parent / "job_template"
NAME, MODULE = "new-job", "new_job"
"""The name of the job in the template, and of its module."""
FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "MODULE/__init__.py": "init.py.txt",
    "MODULE/work.py": "work.py.txt",
    "test_MODULE.py": "test.py.txt",
}
EXAMPLE = {
    "example/fox.txt": "The quick brown fox jumps over it\n",
    "example/sea/hen.txt": "A hen lays twelve brown eggs\n",
    "example/sea/tide.txt": "Ebb and flood\n",
}


def write(name: str, where: Path) -> list[Path]:
    """Write the package of a new job into a new folder ``name`` in ``where``, and give the paths of its files.

    Raises:
        errors.UsageError: No job can have the name, another one or another module has it, or the folder is there.
            Then nothing is written.
    """
    module = _module_of(name)
    folder = where / name
    try:
        folder.mkdir()
    except FileExistsError:
        raise errors.UsageError(f"{folder} exists already; nothing was written. Choose another name") from None
    texts = {
        path.replace("MODULE", module): (TEMPLATE / file).read_text("utf-8").replace(NAME, name).replace(MODULE, module)
        for path, file in FILES.items()
    }
    for path, text in {**texts, **EXAMPLE}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [folder / path for path in (*texts, *EXAMPLE)]


def next_steps(name: str) -> list[str]:
    """List the commands to type after ``write``, in the folder where it was called. The last uses a private cluster."""
    python = shlex.quote(sys.executable)
    return [
        f"cd {name}",
        f"{python} -m unittest",
        f"{python} -m pip install -e .",
        f"{python} -m cluster submit --job {name} --letters 6 example",
    ]


def _module_of(name: str) -> str:
    """The name of the module of a job.

    Raises:
        errors.UsageError: No new job can have this name.
    """
    module = name.replace("-", "_").lower()
    if not re.fullmatch(names.JOB, name) or not module.isidentifier() or name[-1] == "-":
        raise errors.UsageError(
            f"{name!r} cannot be the name of a job: use up to {names.MAX_JOB_CHARS} ASCII letters, digits and '-', a"
            " letter first"
        )
    if name in catalog.jobs():
        raise errors.UsageError(f"there is a job {name!r} already; choose another name")
    if keyword.iskeyword(module) or _is_taken(module):
        raise errors.UsageError(f"Python has a module or word {module!r} already; choose another name")
    return module


def _is_taken(module: str) -> bool:
    """Whether another module has the name; a plain folder in the current one, which Python takes for one, does not."""
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None
