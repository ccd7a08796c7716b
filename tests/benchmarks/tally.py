r"""Sum up a word count in a few figures, so that two can be compared: ``python tally.py RESULT`` or ``--count FOLDER``.

RESULT is a JSON object {word: count}, a file of JSON objects {"word", "count"}, a line each, or a folder of such files.
Nothing of the project is imported. Prints a JSON object: how many words and distinct ones, a digest of all, another
one in which neighbouring characters that stand for invalid UTF-8 (``\ufffd``) are one, and whether the most frequent stand first.
"""

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

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
        with path.open(encoding="utf-8", errors="replace") as stream:
            start = stream.read(8)
            stream.seek(0)
            if start == '{"word":':
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
    return all(before >= after for before, after in zip(numbers, numbers[1:], strict=False))


def main() -> None:
    """Print the figures."""
    counts = true_counts(Path(sys.argv[2])) if sys.argv[1] == "--count" else read(Path(sys.argv[1]))
    lenient: Counter[str] = Counter()
    for word, count in counts.items():
        lenient[INVALID.sub("\ufffd", word) if "\ufffd" in word else word] += count
    figures = {
        "words": sum(counts.values()),
        "distinct": len(counts),
        "exact": digest(counts),
        "lenient": digest(lenient),
        "falling": falling(counts.values()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
