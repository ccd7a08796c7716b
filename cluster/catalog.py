"""The table of jobs: the built-in ones, and those other distributions add.

A distribution adds jobs by an entry point in the group ``cluster.jobs`` that names a ``Job``. The rows of the built-in
ones name their functions, so that a program knows all jobs and loads the code of those that it has to do with.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from types import MappingProxyType

from cluster import errors, keys, names
from cluster.format import Format
from cluster.functions import Lazy
from cluster.installed import Installed
from cluster.job import Job, Rounds
from cluster.option import Option
from splitters import suffixes

MEGAPIXELS = Option(
    "max_megapixels",
    int,
    64,
    "refuse larger pictures; one takes up to 16 bytes of memory a pixel",
    minimum=1,
    maximum=178,
)

PICTURES = suffixes.PICTURES | suffixes.HEIF
MADE = Option("model", str, None, "the bundle that the result becomes the next version of", required=True)
# Of jobs that learn from a table.
TARGET = Option("target", str, None, "the column to learn; of an .npz file y")
DROP = Option("drop", str, None, "columns to leave out, with commas between")
TEST = Option("test", float, 0.2, "share of the rows that the result is measured by", minimum=0, maximum=0.9)
SEED = Option("seed", int, 0, "of all chance")

WORDS = MappingProxyType({"words": True})
NO_PLACES = "the places of its words were not kept"

OCR = Job(
    name="ocr",
    about="read the text on pages and pictures",
    example="./scans --format text-folder -o texts/",
    chunk_unit="in pages",
    split=Lazy("splitters.pages:split"),
    task=Lazy("tasks.ocr:read_pages"),
    aggregate=Lazy("aggregators.readings:join"),
    finish=Lazy("aggregators.readings:texts"),
    absent=Lazy("aggregators.readings:absent"),
    check=Lazy("aggregators.readings:check"),
    count=Lazy("splitters.pages:count"),
    walk=Lazy("splitters.documents:walk"),
    suffixes=suffixes.DOCUMENTS,
    look=Lazy("splitters.pages:look"),
    formats={
        "json": Format(Lazy("aggregators.readings_files:write_json"), merge=Lazy("aggregators.merging:json")),
        "jsonl": Format(
            Lazy("aggregators.readings_files:write_jsonl"), live=True, merge=Lazy("aggregators.merging:jsonl"),
        ),
        "csv": Format(Lazy("aggregators.readings_files:write_csv"), merge=Lazy("aggregators.merging:table")),
        "text-folder": Format(Lazy("aggregators.readings_folders:write_texts"), folder=True, live=True),
        "hocr": Format(
            Lazy("aggregators.readings_folders:write_hocr"), folder=True, live=True, sets=WORDS, without=NO_PLACES,
        ),
        "alto": Format(
            Lazy("aggregators.readings_folders:write_alto"), folder=True, live=True, sets=WORDS, without=NO_PLACES,
        ),
        "tsv": Format(
            Lazy("aggregators.readings_folders:write_tsv"), folder=True, live=True, sets=WORDS, without=NO_PLACES,
        ),
        "pdf": Format(
            Lazy("cluster.searchable:write"), folder=True, live=True, source=True, sets=WORDS, without=NO_PLACES,
            needs="pikepdf", install="cluster[pdf]",
        ),
        "sqlite": Format(
            Lazy("aggregators.readings_sqlite:write"), file=True, refuses=Lazy("aggregators.readings_sqlite:refuses"),
        ),
    },
    options=(
        Option("lang", str, "eng", "languages as Tesseract names them, joined by +, such as deu+eng"),
        Option("clean", bool, False, "even out light, darken faint ink, enlarge small letters before reading"),
        MEGAPIXELS,
        Option("words", bool, False, "keep the place and confidence of each word; formats that need them set it"),
        Option(
            "text", str, "skip", "of PDF pages that have text: take that (skip), read earlier OCR anew (redo), or read"
            " every page as it looks (force)", choices=("skip", "redo", "force"),
        ),
        Option("rotate", bool, False, "turn pages that lie on their side or upside down"),
        Option("dpi", int, 300, "dots per inch that PDF pages are drawn with", minimum=70, maximum=1200),
        Option("pages", str, None, "only these pages of each PDF and TIFF of several pages, as 1-40,90-"),
        Option("password_file", str, None, "a file with the passwords of encrypted PDFs, one a line", file="must"),
        Option("break_signatures", bool, False, "write text into signed PDFs too, which ends their signatures"),
        Option(
            "engine", str, "tesseract", "ppocr reads photographs better and takes five times as long; auto: ppocr where"
            " tesseract is unsure", choices=("tesseract", "ppocr", "auto"),
        ),
        Option("model", str, None, "the bundle with the weights of ppocr, as NAME or NAME:VERSION"),
    ),
    why_unavailable=Lazy("tasks.ocr:why_unavailable"),
    unusable=Lazy("tasks.ocr.ppocr:unusable"),
    megapixels=Lazy("tasks.ocr:megapixels"),
    prepare=Lazy("tasks.ocr_options:prepare"),
    memory_bytes=Lazy("tasks.ocr_options:memory_bytes"),
    install="cluster[ocr]",
    needs=("lang", "engine", "model"),
    bundles="ocr",
    with_bundle={"engine": "ppocr"},
    get_bundle="`cluster models import ppocr` makes the bundle ppocr",
    serves=True,
    answer=Lazy("tasks.ocr:answer"),
    made_up=Lazy("tasks.pictures:made_up"),
    version="2",
)  # fmt: skip

WORDCOUNT = Job(
    name="wordcount",
    about="count the words of text files",
    example="--top 20 ./books",
    chunk_unit="in bytes",
    split=Lazy("splitters.lines:split"),
    task=Lazy("tasks.wordcount:count_words"),
    aggregate=Lazy("aggregators.counts:add"),
    finish=Lazy("aggregators.counts:to_dict"),
    count=Lazy("splitters.lines:count"),
    formats={"json": Format(Lazy("aggregators.counts:write_json"))},
    options=(Option("top", int, None, "only the N most frequent words", minimum=1),),
    why_unavailable=Lazy("tasks.wordcount:why_unavailable"),
)

FACES = Job(
    name="faces",
    about="find the faces on pictures and tell whose they are",
    example="--model office ./party -o faces.json --annotate named/",
    chunk_unit="in pictures",
    split=Lazy("splitters.pictures:split"),
    suffixes=PICTURES,
    task=Lazy("tasks.faces:recognise"),
    aggregate=Lazy("aggregators.by_name:join"),
    check=Lazy("aggregators.by_name:check_faces"),
    count=Lazy("splitters.pictures:count"),
    walk=Lazy("splitters.pictures:walk"),
    formats={
        "json": Format(Lazy("aggregators.by_name:write_json"), merge=Lazy("aggregators.merging:json")),
        "jsonl": Format(Lazy("aggregators.by_name:write_faces_jsonl"), merge=Lazy("aggregators.merging:jsonl")),
        "csv": Format(Lazy("aggregators.by_name:write_faces_csv"), merge=Lazy("aggregators.merging:table")),
    },
    options=(
        Option("model", str, None, "the bundle that knows people, as NAME or NAME:VERSION; without, all are unknown"),
        Option("describe", bool, False, "give each face a descriptor, by which the unknown can be grouped and named"),
        MEGAPIXELS,
    ),
    why_unavailable=Lazy("tasks.faces:why_unavailable"),
    megapixels=Lazy("tasks.pictures:megapixels"),
    unusable=Lazy("tasks.faces:unusable"),
    install="cluster[faces]",
    needs=("model",),
    bundles="faces",
    draw=Lazy("tasks.faces.draw:draw"),
    serves=True,
    made_up=Lazy("tasks.pictures:made_up"),
    version="2",
)

FACES_TRAIN = Job(
    name="faces-train",
    about="learn to recognise people from a folder of pictures of each",
    example="--model office ./people",
    chunk_unit="in pictures",
    split=Lazy("splitters.people:split"),
    suffixes=PICTURES,
    task=Lazy("tasks.faces_train:embed_people"),
    aggregate=Lazy("aggregators.people:join"),
    finish=Lazy("aggregators.people:fit"),
    count=Lazy("splitters.people:count"),
    options=(
        MADE,
        Option("add", bool, False, "keep the people it knows that are not in the input"),
        Option("more", bool, False, "keep all pictures it knows, also of the people in the input"),
        Option(
            "changes", str, None, "a JSON file that says whom to forget, and which faces are not whose", file="must"
        ),
        MEGAPIXELS,
    ),
    prepare=Lazy("aggregators.people_changes:prepare"),
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
    split=Lazy("splitters.pictures:split"),
    suffixes=PICTURES,
    task=Lazy("tasks.onnx:classify"),
    aggregate=Lazy("aggregators.by_name:join"),
    check=Lazy("aggregators.by_name:check_guesses"),
    count=Lazy("splitters.pictures:count"),
    walk=Lazy("splitters.pictures:walk"),
    formats={
        "json": Format(Lazy("aggregators.by_name:write_json"), merge=Lazy("aggregators.merging:json")),
        "jsonl": Format(Lazy("aggregators.by_name:write_guesses_jsonl"), merge=Lazy("aggregators.merging:jsonl")),
    },
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
    serves=True,
    made_up=Lazy("tasks.pictures:made_up"),
    infer=Lazy("tasks.onnx.tensors:infer"),
    infer_about=Lazy("tasks.onnx.tensors:about"),
)

TRAIN = Job(
    name="train",
    about="train a network on a table, arrays or a folder of pictures, on all machines at once",
    example="letters.csv --target letter --model letters --net mlp:128,128",
    chunk_unit="in rows that are read at a time",
    split=Lazy("splitters.tables:split"),
    task=Lazy("tasks.train:train"),
    aggregate=Lazy("aggregators.training:step"),
    finish=Lazy("aggregators.training:finish"),
    check=Lazy("aggregators.training:check"),
    rounds=Rounds(
        begin=Lazy("aggregators.training:begin"),
        see=Lazy("aggregators.training:see"),
        dump=Lazy("aggregators.training:dump"),
        load=Lazy("aggregators.training:load"),
        why_unavailable=Lazy("aggregators.train_options:why_unavailable"),
        checkpoint=Lazy("aggregators.training:checkpoint"),
        join=Lazy("aggregators.training:join"),
        rings=True,
    ),
    prepare=Lazy("aggregators.train_options:prepare"),
    plan=Lazy("aggregators.train_options:plan"),
    options=(
        MADE,
        Option("net", str, "mlp:128,128", "a net by name: mlp:, cnn:, resnet-s or gru: with sizes; or a model.toml",
               file="may"),
        TARGET,
        DROP,
        TEST,
        Option("valid", float, 0.1, "share of the rows that the best round is chosen by", minimum=0, maximum=0.9),
        Option("test_file", str, None, "a file or folder with the test rows, in the form of the input", file="must"),
        Option("size", str, None, "scale pictures to this width and height, as 32x32"),
        Option("grey", bool, False, "take the brightness of pictures alone"),
        Option(
            "augment", str, "none", "change pictures a little at each step",
            choices=("none", "flip", "shift", "flip,shift"),
        ),
        Option(
            "class_weights", str, "none", "balanced: rows of rare classes count more", choices=("none", "balanced")
        ),
        Option("shards", int, 0, "slices of the rows, one a slot; 0: by slots, 8 to 32", minimum=0, maximum=256),
        Option(
            "partition", str, "slice", "slice: scramble the rows and cut them; sample: each shard draws from all rows",
            choices=("slice", "sample"),
        ),
        Option("rounds", int, 40, "how many rounds to train", minimum=1, maximum=1_000_000),
        Option("minutes", float, 0.0, "end after this time; 0: never", minimum=0),
        Option("patience", int, 0, "end after this many rounds without a gain of --min-gain; 0: never", minimum=0),
        Option("min_gain", float, 0.001, "what counts as a gain: of the accuracy, or of the scaled error", minimum=0),
        Option(
            "mode", str, "local", "local: many steps between rounds; sync: one; async: each shard by itself",
            choices=("local", "sync", "async"),
        ),
        Option("steps", int, 0, "steps of a shard in a round; 0: as many as there is time for", minimum=0),
        Option("round_seconds", float, 0.0, "time of a round; 0: chosen by what steps and transfers take", minimum=0),
        Option("quorum", float, 0.0, "share of the shards that a round waits for; 0: .75, with --steps all", minimum=0,
               maximum=1),
        Option("staleness", int, 4, "drop what was made from weights older than this; for --mode async", minimum=0),
        Option("batch_size", int, 32, "rows of a step", minimum=1, maximum=1_000_000),
        Option("optimizer", str, "adamw", "of the steps on a node", choices=("adamw", "adam", "sgd")),
        Option("lr", float, 0.002, "learning rate of these steps; 0.001 with --mode sync and async", minimum=0),
        Option("momentum", float, 0.9, "of sgd; of the others the first beta", minimum=0, below=1),
        Option("weight_decay", float, 0.01, "of the optimizer of the steps", minimum=0),
        Option("inner_state", str, "keep", "of that optimizer between rounds", choices=("keep", "reset")),
        Option("schedule", str, "constant", "of --lr over the rounds", choices=("constant", "cosine", "step")),
        Option(
            "server", str, "auto", "optimizer that makes new weights of the shards' changes; auto: average where a"
            " round passes the rows of a shard over three times, else nesterov; adam with --mode sync, sgd with async",
            choices=("auto", "nesterov", "average", "sgd", "adam"),
        ),
        Option("server_lr", float, None, "its rate; 0.7 of nesterov, 0.001 of adam, else 1", minimum=0),
        Option("server_momentum", float, None, "its momentum; 0.9 of nesterov and adam, else 0", minimum=0, below=1),
        Option("quantize", float, 100.0, "percent of the rounds whose changes have few bits", minimum=0, maximum=100),
        Option("quantize_when", str, "spread", "where these rounds are", choices=("spread", "first")),
        Option("bits", int, 4, "bits of a value of a change: 2 to 8, 16 or 32", minimum=2, maximum=32),
        Option("down_bits", int, 8, "bits of a value of what nodes are sent", minimum=2, maximum=32),
        Option("error_feedback", bool, False, "add what few bits leave over to the next change"),
        Option("joint", str, "auto", "layers that are encoded together: auto, or a file as --plan prints it",
               file="must"),
        Option(
            "topology", str, "auto", "how changes travel: star (each by itself), tree (a site joins its own in its"
            " store), ring (nodes of a site share each step); auto: the fastest by the links that nodes measured",
            choices=("auto", "star", "tree", "ring"),
        ),
        Option("norm_check", bool, True, "refuse changes that are far larger than others"),
        Option("checkpoint", int, 0, "with --save: write the weights after every so many rounds; 10", minimum=0),
        Option("from_model", str, None, "a bundle of this job to train on, as NAME or NAME:VERSION; or its folder, as"
               " ./FOLDER", word="from", file="may"),
        SEED,
    ),
    why_unavailable=Lazy("tasks.train:why_unavailable"),
    install="cluster[train]",
    bundles="predict",
    trains=True,
)  # fmt: skip

ENSEMBLE = Job(
    name="ensemble",
    about="fit sub-models on shares of a table, on all machines at once, and join them into one model",
    example="letter.csv --target letter --model letters --kind rf:trees=200 --kind hgb",
    chunk_unit="in rows that are read at a time",
    split=Lazy("splitters.tables.shares:split"),
    task=Lazy("tasks.ensemble:work"),
    aggregate=Lazy("aggregators.ensemble:step"),
    finish=Lazy("aggregators.ensemble:finish"),
    check=Lazy("aggregators.ensemble:check"),
    rounds=Rounds(
        begin=Lazy("aggregators.ensemble:begin"),
        see=Lazy("aggregators.ensemble:see"),
        dump=Lazy("aggregators.ensemble:dump"),
        load=Lazy("aggregators.ensemble:load"),
        why_unavailable=Lazy("aggregators.ensemble_options:why_unavailable"),
        shards="parts",
    ),
    prepare=Lazy("aggregators.ensemble_options:prepare"),
    plan=Lazy("aggregators.ensemble_options:plan"),
    options=(
        MADE,
        Option(
            "kind", str, "rf", "sub-models: rf, et, hgb, mlp, logreg, ridge or tree, with parameters as"
            " rf:trees=200,depth=12", repeats=True,
        ),
        TARGET,
        DROP,
        Option("parts", int, 0, "sub-models of each kind; 0: by slots, 8 to 32", minimum=0, maximum=256),
        Option(
            "by", str, "auto", "what each part has of the training rows: a slice (rows), a sample, or all; auto: all up"
            " to 64 MiB, sample up to 256 MiB, rows beyond", choices=("auto", "rows", "sample", "all"),
        ),
        Option("share", float, 0.0, "of the rows in each sample; 0: a half", minimum=0, maximum=1),
        Option(
            "combine", str, "auto", "how sub-models become one: auto takes the best on the validation rows",
            choices=("auto", "vote", "average", "weighted", "stack"),
        ),
        TEST,
        Option("valid", float, 0.1, "share of the rows that the combiner is chosen by", minimum=0, maximum=0.9),
        Option("test_file", str, None, "a file with the test rows, in the form of the input", file="must"),
        SEED,
    ),
    why_unavailable=Lazy("tasks.ensemble:why_unavailable"),
    install="cluster[ensemble]",
    bundles="predict",
    trains=True,
)  # fmt: skip

PREDICT = Job(
    name="predict",
    about="say what a trained model says of the rows of a table, or of pictures",
    example="--model letters letters.csv --format csv -o said.csv",
    chunk_unit="in rows; of pictures one counts 512",
    split=Lazy("splitters.rows:split"),
    suffixes=PICTURES | suffixes.ROWS,
    task=Lazy("tasks.predict:predict"),
    aggregate=Lazy("aggregators.predictions:join"),
    finish=Lazy("aggregators.predictions:finish"),
    absent=Lazy("aggregators.predictions:absent"),
    check=Lazy("aggregators.predictions:check"),
    count=Lazy("splitters.rows:count"),
    formats={
        "json": Format(Lazy("aggregators.prediction_files:write_json")),
        "jsonl": Format(Lazy("aggregators.prediction_files:write_jsonl")),
        "csv": Format(Lazy("aggregators.prediction_files:write_csv")),
        "parquet": Format(
            Lazy("aggregators.prediction_files:write_parquet"), needs="pyarrow", install="cluster[parquet]"
        ),
        "npz": Format(Lazy("aggregators.prediction_files:write_npz")),
    },
    options=(
        Option("model", str, None, "the bundle that holds the model, as NAME or NAME:VERSION", required=True),
        Option("probabilities", bool, False, "give the probability of each class"),
        Option("keep", str, None, "columns of the input that the result has beside, with commas between"),
    ),
    prepare=Lazy("aggregators.predictions:prepare"),
    why_unavailable=Lazy("tasks.predict:why_unavailable"),
    unusable=Lazy("tasks.predict:unusable"),
    install="cluster[tables]",
    needs=("model",),
    bundles="predict",
    serves=True,
    made_up=Lazy("tasks.predict:made_up"),
    infer=Lazy("tasks.predict.tensors:infer"),
    infer_about=Lazy("tasks.predict.tensors:about"),
)

BUILT_IN = (OCR, WORDCOUNT, FACES, FACES_TRAIN, ONNX, TRAIN, ENSEMBLE, PREDICT)
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


def chunk_memory_bytes(capability: str) -> int | None:
    """The memory that a chunk of a run with that requirement takes, in bytes; None: that of a slot.

    Raises:
        ValueError: It is how no job here writes it.
    """
    plain = names.plain(capability)
    job = next((job for job in jobs().values() if job.capability == plain), None)
    return None if job is None else job.chunk_memory_bytes(capability)


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


def lacks(abilities: Mapping[str, str]) -> str:
    """A sentence about the jobs that this machine cannot do, "" if it can do all.

    Args:
        abilities: Job -> why this machine cannot do it, "" if it can.
    """
    found = [job for job, why in abilities.items() if why]
    if len(found) == 1:
        return left_out(found[0], abilities[found[0]])
    told = f"this machine does not do {', '.join(found)}: `cluster doctor` says why, and what to type if you need them"
    return told if found else ""
