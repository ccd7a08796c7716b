"""Count words as plainly as can be, and compare: ``python oracle.py RESULT.json FOLDER``.

Nothing of the project is imported. Prints a JSON object {"words", "distinct"}; ends with code 1 and says
what differs where RESULT.json is another answer.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path


def main() -> None:
    """Compare the two."""
    result, folder = sys.argv[1:]
    true: Counter[str] = Counter()
    for place, _, names in os.walk(folder):
        for name in names:
            true.update(Path(place, name).read_bytes().decode(errors="replace").split())
    found = json.loads(Path(result).read_bytes())
    if found != true:
        differing = [word for word in found.keys() | true.keys() if found.get(word) != true.get(word)]
        sys.exit(f"{len(differing)} words differ, among them {differing[:5]!r}")
    counts = list(found.values())
    if counts != sorted(counts, reverse=True):
        sys.exit("the words do not stand in the order of their counts")
    print(json.dumps({"words": true.total(), "distinct": len(true)}))


if __name__ == "__main__":
    main()
