"""The usual way with OpenCV, for comparison: Haar cascade, then its LBPH recogniser. ``python lbph.py < question``.

Runs in an environment with opencv-contrib-python; nothing of the project is imported. Reads a JSON object {"folder",
"splits": [{"learnt", "known", "strangers"}]} with lists of [person, picture], and writes {"missed", "rounds": [[known,
strangers]]}, with lists of [label, score].
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

SIDE_PIXELS = 100


def main() -> None:
    """Answer the question."""
    import cv2
    import numpy as np

    question = json.load(sys.stdin)
    folder = Path(question["folder"])
    cascade = cv2.CascadeClassifier(f"{Path(cv2.__file__).parent}/data/haarcascade_frontalface_default.xml")

    @functools.cache
    def face(name: str) -> Any:
        """The largest face of a picture, or None."""
        grey: Any = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
        found = cascade.detectMultiScale(grey, 1.1, 4)
        if not len(found):
            return None
        x, y, width, height = max(found, key=lambda box: (box[2], *box))
        return cv2.resize(grey[y : y + height, x : x + width], (SIDE_PIXELS, SIDE_PIXELS))

    rounds = []
    for split in question["splits"]:
        people = sorted({who for who, _ in split["learnt"]})
        learnt = [(face(name), people.index(who)) for who, name in split["learnt"] if face(name) is not None]
        lbph = cv2.face.LBPHFaceRecognizer_create()  # type: ignore[attr-defined]
        lbph.train([pixels for pixels, _ in learnt], np.array([owner for _, owner in learnt]))
        sides = []
        for side in ("known", "strangers"):
            answers: list[tuple[str, float]] = []
            for _, name in split[side]:
                if face(name) is None:
                    answers.append(("", -1e9))
                    continue
                owner, distance = lbph.predict(face(name))
                answers.append((people[owner], -distance))
            sides.append(answers)
        rounds.append(sides)
    missed = sum(face(f"{file.parent.name}/{file.name}") is None for file in folder.glob("*/*"))
    json.dump({"missed": missed, "rounds": rounds}, sys.stdout)


if __name__ == "__main__":
    main()
