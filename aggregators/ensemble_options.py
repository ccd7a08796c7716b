"""The options of an ensemble before it begins: as they stand in its run, and what they come to.

Imports no NumPy before a function is called.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aggregators.submodels import spec

PATHS = ("test_file",)
"""Options that name files of the machine that submits. Another folder may be the current one when it reads them."""
MOST_KINDS = 16


def why_unavailable() -> str:
    """Say why this machine cannot submit or coordinate an ensemble, or ""; imports no library to find out."""
    if importlib.util.find_spec("numpy") is None:
        return 'numpy is not installed (pip install "cluster[tables]")'
    return ""


def prepare(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run for those that were given: kinds in one form, and whole paths.

    Raises:
        OSError: A file cannot be read.
        ValueError: Options cannot be used, or do not go together; says which, and what to do.
    """
    options = dict(given)
    options["kind"] = kinds(options.get("kind", "rf"))
    for name in PATHS:
        if options.get(name):
            options[name] = str(Path(options[name]).resolve(strict=True))
    if "test" in given and options.get("test_file"):
        raise ValueError("--test and --test-file cannot go together; give one of them")
    if options.get("share") and options.get("by", "sample") not in ("sample", "auto"):
        raise ValueError(f"--share is for --by sample, and --by is {options['by']}")
    return options


def kinds(text: str) -> str:
    """Return the kinds that a text names in one form, with spaces between.

    Between them there may be spaces, or commas: ``rf:trees=200,depth=12,hgb``.

    Raises:
        ValueError: A kind or a parameter is none; the message lists those there are.
    """
    words: list[str] = []
    for word in re.split(r"\s+", text.strip()):
        for piece in word.split(","):
            if "=" in piece and ":" not in piece and words:
                words[-1] = f"{words[-1]},{piece}"
            else:
                words.append(piece)
    found = [str(spec.parse(word)) for word in words]
    if len(found) > MOST_KINDS:
        raise ValueError(f"{len(found)} kinds of sub-models are named; {MOST_KINDS} are the most")
    twice = [kind for kind, times in Counter(found).items() if times > 1]
    if twice:
        raise ValueError(f"--kind {twice[0]} is given twice: more sub-models of a kind come with more --parts")
    return " ".join(found)


def plan(about: bytes, *, kind: str = "rf", combine: str = "auto") -> str:
    """Return what a run would fit, as a text for people.

    Raises:
        ValueError: The options do not fit the data.
    """
    from aggregators.ensemble import begin

    begin(about, combine=combine)
    card = json.loads(about)
    rows, shares = card["rows"], card["shares"]
    goal = f"{len(card['classes'])} classes" if card["classes"] else "a number"
    each = {
        "all": "all training rows",
        "sample": f"a sample of {shares['share']:.0%} of the training rows",
        "rows": "a slice of the training rows",
    }[shares["by"]]
    told = [
        f"{rows['train']:,} training rows, {rows['valid']:,} for validation, {rows['test']:,} for the test.",
        f"A row has {card['input_shape'][0]} numbers; {card['target']} is {goal}.",
        *(f"Note: {note}." for note in card["notes"]),
        "",
        f"{card['shards']} sub-models, {shares['parts']} of each kind; each has {each} (--by {shares['by']}):",
        *(f"  {described(spec.parse(asked))}" for asked in shares["kinds"]),
    ]
    first = card["shard_rows"]
    sizes = f"{min(first):,}" if min(first) == max(first) else f"{min(first):,} to {max(first):,}"
    told += [f"  each on {sizes} rows", "", _rounds(shares, combine)]
    return "\n".join(told)


def described(asked: spec.Spec) -> str:
    """A kind with all of its parameters."""
    told = ", ".join(f"{name} {value}" for name, value in asked.parameters)
    return f"{asked.kind}: {spec.KINDS[asked.kind].about}{f'; {told}' if told else ''}"


def _rounds(shares: Mapping[str, Any], combine: str) -> str:
    stack = (
        f"a stack is fitted on {shares['stack_rows']:,} training rows, without what sub-models have seen of them"
        if shares["stack_rows"]
        else "a stack is fitted on half of the validation rows"
    )
    what = "the best combiner on the validation rows is taken" if combine == "auto" else f"the combiner is {combine}"
    return f"Then they predict the validation rows: {what}; {stack}. The test rows measure the result."
