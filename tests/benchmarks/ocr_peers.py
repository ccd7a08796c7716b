"""Read the text on 108 pictures: a ready cluster against two bare processes, Spark, Dask and Ray."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cluster import catalog
from tests.benchmarks import Case, Options, contest, ready
from tests.benchmarks.contest import Peer
from tests.benchmarks.goals import Goal
from tests.benchmarks.measure import Failed
from tests.benchmarks.ocr import DATA, EXAMPLES

COPIES = 3
"""Each receipt and page stands there so often, under other names: nobody here remembers what was read before."""
LIKE = 0.8
"""Another version of Tesseract must find so many of the same words: on receipts it guesses at many."""


def peers(folder: Path) -> list[Peer]:
    """As people write it, with one thread a picture, and at their best."""
    one = {"OMP_THREAD_LIMIT": "1"}
    found = [
        Peer(
            name="limit: 2 bare processes",
            script="ocr_bare.py",
            arguments=[folder],
            goal=Goal("<=", 1.05),
            own_environment=False,
        )
    ]
    for name in ("Spark", "Dask", "Ray"):
        script, needs = f"ocr_{name.lower()}.py", "java" if name == "Spark" else ""
        plain = Goal(">=", 3) if name == "Spark" else Goal(">", 1)
        found += [
            Peer(
                name=f"{name}, pytesseract", script=script, arguments=["pytesseract", folder], needs=needs, goal=plain,
            ),
            Peer(
                name=f"{name}, pytesseract, OMP_THREAD_LIMIT=1", script=script, arguments=["pytesseract", folder],
                needs=needs, environment=one, goal=Goal(">", 1),
            ),
            Peer(
                name=f"{name}, tesserocr loaded once", script=script, arguments=["tesserocr", folder],
                needs=needs, goal=Goal(">", 1),
            ),
        ]  # fmt: skip
    return found


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One race."""
    problem = catalog.get("ocr").why_not_here({"lang": "eng"})
    sources = [EXAMPLES / "letters"] if options.small else [DATA / "receipts", DATA / "pages"]
    missing = [source for source in sources if not source.is_dir()]
    if problem or missing:
        yield Case(name="ocr-peers", skipped=problem or f"there is no folder {missing[0]}")
        return
    pictures = folder / "pictures"
    true = _copies(sources, pictures, 1 if options.small else COPIES)

    def check(output: Path) -> str:
        return differences(true, json.loads(output.read_bytes()))

    with ready.cluster(folder) as cluster:
        cluster.submit("ocr", [EXAMPLES / "letters"], folder / "warm")  # the model is loaded, as on a cluster in use
        rows = contest.race(
            f"ocr, {len(true)} pictures",
            lambda output: cluster.submit("ocr", [pictures], output),
            peers(pictures),
            check,
            folder=folder,
            options=options,
        )
    yield Case(name="ocr-peers", rows=rows)


def differences(true: dict[str, str], found: dict[str, str]) -> str:
    """How the texts differ from ours; "" if they do not.

    Raises:
        Failed: Pictures are missing, or the words are others.
    """
    if found.keys() != true.keys():
        raise Failed(f"pictures differ: {', '.join(sorted(found.keys() ^ true.keys())[:5])}")
    others = sum(true[name].strip() != found[name].strip() for name in true)
    if not others:
        return ""
    ours = sum((Counter(text.split()) for text in true.values()), Counter())
    theirs = sum((Counter(text.split()) for text in found.values()), Counter())
    alike = (ours & theirs).total() / max(ours.total(), theirs.total())
    if alike < LIKE:
        raise Failed(f"only {alike:.3f} of the words are the same")
    return f"another Tesseract: {others} texts differ, {alike:.3f} of the words are the same"


def _copies(sources: list[Path], folder: Path, copies: int) -> dict[str, str]:
    """Write each picture to ``folder`` so often; gives the text of each, read without a cluster."""
    folder.mkdir()
    texts = {}
    for source in sources:
        read = catalog.get("ocr").run_locally(source)
        for copy, name in itertools.product(range(copies), read):
            if "\f" in read[name]:  # of several pages, of which scripts as people write them read the first
                continue
            other = f"{copy}-{name.replace('/', '-')}"
            shutil.copyfile(source / name, folder / other)
            texts[other] = read[name]
    return texts
