"""The table of jobs: the built-in ones, and those other distributions add.

A distribution adds jobs by an entry point in the group ``cluster.jobs`` that names a ``Job``. The rows of the built-in
ones name what imports an engine, or much else, so that a program knows all jobs without loading them.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping

from aggregators import by_name, counts
from cluster import errors, keys, names
from cluster.functions import Lazy
from cluster.installed import Installed
from cluster.job import Format, Job
from cluster.option import Option
from splitters import lines, people, pictures

MEGAPIXELS = Option(
    "max_megapixels",
    int,
    64,
    "refuse larger pictures; one takes up to 16 bytes of memory a pixel",
    minimum=1,
    maximum=178,
)

OCR = Job(
    name="ocr",
    about="read the text on pictures",
    example="./scans --format text-folder -o texts/",
    chunk_unit="in pictures",
    split=pictures.split,
    task=Lazy("tasks.ocr:read_pages"),
    aggregate=by_name.join,
    check=by_name.check_texts,
    count=pictures.count,
    formats={
        "json": Format(by_name.write_json),
        "jsonl": Format(by_name.jsonl("text")),
        "text-folder": Format(by_name.write_text_folder, folder=True),
    },
    options=(
        Option("lang", str, "eng", "languages as Tesseract names them, joined by +"),
        Option("clean", bool, False, "even out light, darken faint ink, enlarge small letters before reading"),
        MEGAPIXELS,
    ),
    why_unavailable=Lazy("tasks.ocr:why_unavailable"),
    megapixels=Lazy("tasks.pictures:megapixels"),
    install="cluster[ocr]",
    needs=("lang",),
)

WORDCOUNT = Job(
    name="wordcount",
    about="count the words of text files",
    example="--top 20 ./books",
    chunk_unit="in bytes",
    split=lines.split,
    task=Lazy("tasks.wordcount:count_words"),
    aggregate=counts.add,
    finish=counts.to_dict,
    count=lines.count,
    formats={"json": Format(counts.write_json)},
    options=(Option("top", int, None, "only the N most frequent words", minimum=1),),
    why_unavailable=Lazy("tasks.wordcount:why_unavailable"),
)

FACES = Job(
    name="faces",
    about="find the faces on pictures and tell whose they are",
    example="--model office ./party -o faces.json --annotate named/",
    chunk_unit="in pictures",
    split=pictures.split,
    task=Lazy("tasks.faces:recognise"),
    aggregate=by_name.join,
    check=by_name.check_faces,
    count=pictures.count,
    formats={
        "json": Format(by_name.write_json),
        "jsonl": Format(by_name.jsonl("faces")),
        "csv": Format(by_name.write_faces_csv),
    },
    options=(
        Option("model", str, None, "the bundle that knows people, as NAME or NAME:VERSION; without, all are unknown"),
        MEGAPIXELS,
    ),
    why_unavailable=Lazy("tasks.faces:why_unavailable"),
    megapixels=Lazy("tasks.pictures:megapixels"),
    unusable=Lazy("tasks.faces:unusable"),
    install="cluster[faces]",
    needs=("model",),
    bundles="faces",
    draw=Lazy("tasks.faces.draw:draw"),
)

FACES_TRAIN = Job(
    name="faces-train",
    about="learn to recognise people from a folder of pictures of each",
    example="--model office ./people",
    chunk_unit="in pictures",
    split=people.split,
    task=Lazy("tasks.faces_train:embed_people"),
    aggregate=Lazy("aggregators.people:join"),
    finish=Lazy("aggregators.people:fit"),
    count=people.count,
    options=(
        Option("model", str, None, "the bundle that the result becomes the next version of", required=True),
        Option("add", bool, False, "keep the people it knows that are not in the input"),
        MEGAPIXELS,
    ),
    why_unavailable=Lazy("tasks.faces_train:why_unavailable"),
    megapixels=Lazy("tasks.pictures:megapixels"),
    install="cluster[faces]",
    needs=("model",),
    bundles="faces",
    trains=True,
)

ONNX = Job(
    name="onnx",
    about="say what is on pictures, by a classification model in ONNX form",
    example="--model birds --top 3 ./photos -o birds.json",
    chunk_unit="in pictures",
    split=pictures.split,
    task=Lazy("tasks.onnx:classify"),
    aggregate=by_name.join,
    check=by_name.check_guesses,
    count=pictures.count,
    formats={"json": Format(by_name.write_json), "jsonl": Format(by_name.jsonl("guesses"))},
    options=(
        Option("model", str, None, "the bundle that holds the model, as NAME or NAME:VERSION", required=True),
        Option("top", int, 1, "how many labels to give, the likeliest first", minimum=1),
        MEGAPIXELS,
    ),
    why_unavailable=Lazy("tasks.onnx:why_unavailable"),
    megapixels=Lazy("tasks.pictures:megapixels"),
    unusable=Lazy("tasks.onnx:unusable"),
    install="cluster[faces]",
    needs=("model",),
    bundles="onnx",
)

BUILT_IN = (OCR, WORDCOUNT, FACES, FACES_TRAIN, ONNX)
installed = Installed(BUILT_IN)


def jobs() -> Mapping[str, Job]:
    """Every job by name: the built-in ones, and those of other distributions."""
    return installed.jobs


def get(name: str) -> Job:
    """The job of that name.

    Raises:
        errors.UnknownJob: There is none; the message lists those there are.
    """
    table = jobs()
    if name not in table:
        near = difflib.get_close_matches(name.lower(), table, 1)
        raise errors.UnknownJob(
            f"no job {name!r} (there are: {', '.join(table)}){f'; did you mean {near[0]}?' if near else ''}"
        )
    return table[name]


def find(name: str, version: str) -> Job:
    """The job that a run names, on this machine. It may have been installed since this process looked.

    Raises:
        errors.JobUnavailable: It is not installed here, or in another version.
    """
    if name not in jobs():
        installed.look()
    job = jobs().get(name)
    if job is None:
        raise errors.JobUnavailable(f"does not have the job {name}")
    if job.version != version:
        raise errors.JobUnavailable(
            f"has another version of the job: {job.version or 'none'}; the run needs {version or 'none'}"
        )
    return job


def capability_of(queue: str) -> str:
    """The capability whose messages are in a queue of that name; "" where they are of no job that is known here."""
    capability = keys.capability_of(queue)
    return capability if names.plain(capability) in {job.capability for job in jobs().values()} else ""


def abilities() -> dict[str, str]:
    """Job -> why this machine cannot do it, "" where it can."""
    return {name: job.why_not_here() for name, job in jobs().items()}


def how_to_add(job: str) -> str:
    """Return the command that installs what ``job`` needs here, or "" where the job names no package."""
    wanted = get(job).install
    return f'{sys.executable} -m pip install "{wanted}"' if wanted else ""


def left_out(job: str, problem: str) -> str:
    """The sentence about a job that this machine cannot do."""
    hint = how_to_add(job)
    return f"this node leaves out the job {job}: {problem}{f'; to add it: {hint}' if hint else ''}"
