r"""Sum up a word count in a few figures, so that two can be compared: ``python tally.py RESULT`` or ``--count FOLDER``.

RESULT is a JSON object {word: count}, a file of JSON objects {"word", "count"}, a line each, or a folder of such files.
Nothing of the project is imported. Prints a JSON object: how many words and distinct ones, a digest of all, another
one in which neighbouring characters that stand for invalid UTF-8 (``\ufffd``) are one, and whether the most frequent
words stand first.
"""

import hashlib
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

LINE = re.compile(r'\{"word": ?"')
INVALID = re.compile("\ufffd+")


def true_counts(folder: Path) -> Counter[str]:
    """As plain as can be."""
    counts: Counter[str] = Counter()
    for place, _, names in os.walk(folder):
        for name in names:
            counts.update(Path(place, name).read_bytes().decode(errors="replace").split())
    return counts


def read(result: Path) -> dict[str, int]:
    """A result in any of the forms."""
    found: dict[str, int] = {}
    for path in sorted(result.glob("part-*")) if result.is_dir() else [result]:
        if not path.stat().st_size:
            continue  # a part without words
        with path.open(encoding="utf-8", errors="replace") as stream:
            lined = LINE.match(stream.read(64))
            stream.seek(0)
            if lined:
                for line in stream:
                    one = json.loads(line)
                    found[one["word"]] = found.get(one["word"], 0) + one["count"]
            else:
                found |= json.load(stream)
    return found


def digest(counts: Mapping[str, int]) -> str:
    """The same for the same counts in any order."""
    lines = sorted(f"{word}\t{count}" for word, count in counts.items())
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()


def falling(counts: Iterable[int]) -> bool:
    """Whether each is at most the one before."""
    numbers = list(counts)
    return all(before >= after for before, after in itertools.pairwise(numbers))


def figures(counts: Mapping[str, int]) -> dict[str, object]:
    """What two counts are compared by."""
    lenient: Counter[str] = Counter()
    for word, count in counts.items():
        lenient[INVALID.sub("\ufffd", word) if "\ufffd" in word else word] += count
    return {
        "words": sum(counts.values()),
        "distinct": len(counts),
        "exact": digest(counts),
        "lenient": digest(lenient),
        "falling": falling(counts.values()),
    }


def main() -> None:
    """Print the figures."""
    print(json.dumps(figures(true_counts(Path(sys.argv[2])) if sys.argv[1] == "--count" else read(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
