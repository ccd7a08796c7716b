"""The script that sends files, run by Node.js without a browser, against answers that are made up here."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.kit.programs import ROOT

SCRIPT = ROOT / "cluster" / "web" / "static" / "sending.js"
NODE = shutil.which("node")
PLAY = """
import { Sender } from '%s'
const { files, answers } = %s
const asked = []
globalThis.fetch = async (path, { method }) => {
  const to = `${method} ${path}`
  asked.push(to)
  const [status, body] = answers[to].length > 1 ? answers[to].shift() : answers[to][0]
  return { ok: status === 200, status, json: async () => body }
}
const told = []
const sender = new Sender(() => {}, text => told.push(text))
sender.upload = 'u-1'
sender.add(files.map(([name, size]) => ({ name, file: { size, lastModified: 1, slice: () => new Blob() } })))
await sender.run()
const { refused, sentFiles, sentBytes, received, isDone } = sender
console.log(JSON.stringify({ refused, sentFiles, sentBytes, received, isDone, told, asked }))
"""


def played(files: list[tuple[str, int]], answers: dict[str, list[tuple[int, object]]]) -> Any:
    """What a sender of files, by name and size, has come to, if these answers are given."""
    if NODE is None:
        pytest.skip("Node.js is not installed")
    script = f"data:text/javascript;base64,{base64.b64encode(SCRIPT.read_bytes()).decode()}"
    program = PLAY % (script, json.dumps({"files": files, "answers": answers}))
    done = subprocess.run(
        [NODE, "--input-type=module"], input=program, text=True, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("status", [413, 422])
def test_a_large_file_that_is_refused_stops_no_others(status: int) -> None:
    size = 9 * 2**20
    where = "/api/uploads/u-1"
    query = f"name={{}}&size={size}&modified=1"
    bad, good = query.format("bad"), query.format("good")
    came = played(
        [("bad", size), ("good", size)],
        {
            f"GET {where}/offset?{bad}": [(200, {"offset": 0})],
            f"PUT {where}/file?{bad}": [(status, {"detail": "too large"})],
            f"GET {where}/offset?{good}": [(200, {"offset": 0})],
            f"PUT {where}/file?{good}": [(200, {"offset": 8 * 2**20}), (200, {"offset": size})],
        },
    )
    assert came["refused"] == [{"name": "bad", "why": "too large"}]
    assert (came["sentFiles"], came["sentBytes"], came["received"], came["isDone"]) == (2, 2 * size, 1, True)
    assert came["told"] == []
