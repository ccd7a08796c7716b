"""A job is a declaration, which is data, and three plain functions: a splitter, a task and an aggregator."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cluster import declaration, errors, functions, names
from cluster.format import Format
from cluster.functions import Lazy
from cluster.inputs import Source, for_splitter, naming_input
from cluster.names import Capability, ModelRef
from cluster.option import Option
from splitters import Chunk, Item, NothingToSplit, PassedOver
from splitters.items import Items, NotFiles

if TYPE_CHECKING:
    from splitters.files import Found, Seen
    from tasks import Part

Splitter = Callable[..., Iterator[Chunk]]
Task = Callable[..., Any]
Aggregator = Callable[..., Any]
Check = Callable[[Any, Collection[str] | None], None]
Options = Mapping[str, Any]
BY_NAME = "aggregators.by_name:join"
"""The aggregator of jobs whose parts map items to what was made of each."""
CHECKS: Mapping[str, Check] = {
    BY_NAME: Lazy("aggregators.by_name:check"),
    "aggregators.counts:add": Lazy("aggregators.counts:check"),
    "aggregators.people:join": Lazy("aggregators.people:check"),
}
"""Path of an aggregator -> the check of the parts that it joins."""


def part_bytes(chunk: Chunk) -> int:
    """Return the default limit of a chunk's part in bytes: 64 times its input, at least 16 MiB."""
    from cluster import wire

    return max(wire.LEAST_PART_BYTES, wire.PART_SHARE * sum(len(item.data) for item in chunk))


class Rounds(NamedTuple):
    """What makes a job go in rounds: its task is done for each shard of the input again and again.

    The first chunk of its splitter has one item, which tells about the whole input; each other chunk is a shard.
    ``task(turn, **options)`` gives a shard's value in a round (see ``tasks.Turn``).
    ``aggregate(state, closed, about, **options)`` makes an ``aggregators.Step`` of these values, where the run is
    coordinated; the last one ends the run. ``finish(state, rows, about, **options)`` makes the result of the last
    state and the rows of all steps. All are deterministic: another process may do them again.
    """

    begin: Callable[..., Any]
    """``begin(about, base, **options)`` gives the first ``Step``; ``base`` is the folder of the bundle that the option
    ``from_model`` names, None without."""
    see: Callable[..., Any]
    """``see(view, data, whole)`` gives the view that nodes work with after one more ``Step.view``; None is no view."""
    dump: Callable[..., bytes]
    """``dump(state)`` gives a state as bytes."""
    load: Callable[..., Any]
    """``load(data)`` gives the state back."""
    why_unavailable: Callable[..., str] = lambda: ""
    """Why this machine cannot coordinate such a run, or ""."""
    checkpoint: Callable[..., Any] | None = None
    """``checkpoint(state, rows, about, **options)`` gives an ``aggregators.Model`` of a state on the way, of a job that
    trains and has an option ``checkpoint``; it is written down after each ``Step`` that says ``keep``. None: no."""
    join: Callable[..., Any] | None = None
    """``join(parts, about, **options)`` gives one value for those of several shards, for a tree: ``parts`` is shard ->
    value. Deterministic, whatever the order. The aggregator gets the value under the first of these shards, and names
    in ``Step.rejected`` each shard that is not in it: so the value tells. None: parts of this job go by a star."""
    rings: bool = False
    """Whether the task can do its shard together with others on the way: see ``tasks.Seat``."""
    shards: str = "shards"
    """The option that says how many shards there are; 0: by the slots of the cluster, if it has many."""


class Outcome(NamedTuple):
    """The result of a run, and the items that are missing from it."""

    result: Any
    failures: Mapping[str, str]
    """Item name -> why it is missing from the result."""
    passed_over: Mapping[str, int] = {}
    """Kind of file -> how many the splitter left out: see ``splitters.PassedOver``."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A kind of work: one row of the catalog.

    Each function may be given as it is, or as a ``Lazy``; ``verify`` then checks the parameters that are checked at
    once otherwise. The splitter runs where a run is submitted, and says the default of ``chunk_size``.

    ``aggregate(parts, **options)`` joins parts in any order and grouping into one part; ``finish(part, **options)``
    turns the last one into the result, where that is another thing.

    An item that fails is missing from what its task gives. Where one item is cut into several chunks, the
    others still count, so the result holds what could be done of it, and the failure is reported beside.
    """

    name: str
    about: str
    split: Splitter
    task: Task
    aggregate: Aggregator
    finish: Callable[..., Any] | None = None
    absent: Callable[[Collection[str]], Any] | None = None
    """``absent(names)`` gives a part that stands for items of these names, which failed, where the result has a place
    for them: it comes after all other parts. Parts may hold some of the items as well."""
    count: Callable[..., int] | None = None
    """How many items a list of paths has, at little cost; shows as the time left. With a parameter ``chunk_size`` an
    item is a piece of a file, and the number may be a guess."""
    walk: Callable[..., Iterator[Found]] | None = None
    """``walk(source, passed_over)`` gives the files that the splitter reads, as ``files.walk`` does. Only of a job that
    maps items to values, each item being one file or a part of one: its result can be added to, a file at a time."""
    suffixes: Collection[str] = ()
    """The kinds of files that the splitter takes from a folder, lower-case with the dot; of those without a suffix it
    looks at the bytes. Empty: any, or it is not known."""
    look: Callable[..., Iterator[Seen]] | None = None
    """``look(source, passed_over, **options)`` gives the items that the splitter will give, without reading them.
    Without, each file that ``walk`` finds is taken for one."""
    formats: Mapping[str, Format] = field(default_factory=dict)
    """Besides ``json``, which every job has, the other ways to write the result; may replace ``json``."""
    options: tuple[Option, ...] = ()
    why_unavailable: Callable[..., str] = lambda: ""
    """Why this machine cannot do the job, or "". Its parameters are options, None for "any"."""
    version: str = ""
    """Another one for another meaning: a run is done by nodes that have the version it was begun with."""
    idempotent: bool = True
    """Whether a chunk may be done twice for the sake of speed. After a failure it may be done again in any case."""
    install: str = ""
    """The requirement that pip installs to make the job available, as ``cluster[ocr]``."""
    needs: tuple[str, ...] = ()
    """Options that decide which machines can do a run: see ``requirement``."""
    bundles: str = ""
    """The job whose bundles its option ``model`` names; "" where it has no such option. Where the job ``needs`` the
    model, a run's functions get the folder where it lies on their machine, None where the run has none."""
    get_bundle: str = ""
    """Where runs get a bundle by default, what to type to have it; an error says so that finds none."""
    with_bundle: Mapping[str, Any] = field(default_factory=dict)
    """Options that go with a bundle, as ``{"engine": "ppocr"}``: nodes get ready for runs with these."""
    trains: bool = False
    """Its result is an ``aggregators.Model``, which becomes the next version of the bundle that ``model`` names."""
    chunk_unit: str = "as the splitter counts"
    """In what the chunk size is: "in pictures"."""
    example: str = ""
    """Arguments after `cluster submit --job NAME`, as an example in its help."""
    unusable: Callable[[str], str] = lambda model: ""
    """Why no machine can do the job with the bundle in that folder, or "": what shows without any library."""
    check: Check | None = None
    """Raises ``ValueError`` where a value is none that the task gives for items of these names (None: of any). Without,
    it is what goes with the aggregator, see ``CHECKS``."""
    max_part_bytes: Callable[[Chunk], int] = part_bytes
    """Limit in bytes of a chunk's part before compression, at most ``CLUSTER_MAX_PART_BYTES``: no machine reads more
    from another one. A larger part fails its chunk."""
    megapixels: Callable[[bytes], Iterable[float]] | None = None
    """The sizes of an item's pictures in million pixels, before they are decoded; for a job with an option
    ``max_megapixels``. A node whose owner allows less leaves such an item to others."""
    memory_bytes: Callable[..., int | None] = lambda: None
    """``memory_bytes(**options)`` gives the memory that a chunk takes, in bytes; None: the memory of a slot. It may
    only take options that the job ``needs``: a node knows no others of a message."""
    rounds: Rounds | None = None
    """The job goes in rounds."""
    prepare: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
    """Gives the options of a run for those that were given, before it is submitted: it reads the files that options
    name, as nodes have none of them. Raises ``ValueError`` where options do not go together."""
    plan: Callable[..., str] | None = None
    """``plan(about, **options)`` tells a person what a run with rounds would do, where that shows before it begins."""
    draw: Callable[[bytes, Any], bytes] | None = None
    """Draws what was found in an item, its value in all parts joined, into the item's picture."""
    serves: bool = False
    """It can answer single items in real time: its task gives a value for each item alone, in a part that maps names to
    values or, of blocks of rows, to what the rows of that block get."""
    answer: Callable[..., Any] | None = None
    """``answer(value, **options)`` gives what a service answers of an item with that value in a part. None: that."""
    made_up: Callable[..., Item] | None = None
    """``made_up(model)`` gives an item as somebody might send it, for the model in that folder (None: without).
    Replicas do it before they take requests, and examples show it."""
    infer: Callable[..., Any] | None = None
    """``infer(arrays, model)`` gives what the model in that folder says of tensors: a dict of name -> array for a dict
    of name -> array, both with the rows, or pictures, along axis 0, so that requests can be joined. Raises
    ``ValueError`` where names, shapes or dtypes are not those of ``infer_about``."""
    infer_about: Callable[[str], Any] | None = None
    """``infer_about(model)`` gives what ``infer`` takes and gives, a ``tasks.Tensors``."""

    def __post_init__(self) -> None:
        declaration.check(self)

    def verify(self) -> None:
        """See that the functions take the options. Imports the modules of all functions; for tests of a job.

        Raises:
            ValueError: They do not.
            ImportError: A module is not installed.
            AttributeError: A module has no such function.
        """
        declaration.verify(self)

    @functools.cached_property
    def capability(self) -> str:
        """Name and version, as nodes say what they serve: ``ocr``, or ``ocr.2`` for version 2."""
        return str(Capability(self.name, self.version))

    def requirement(self, options: Options) -> str:
        """The capability that a node must serve to do a run with these options: ``ocr@deu``, ``faces@office:3``.

        It is the plain one where all that the job ``needs`` is as by default, which any node with the job can do.
        """
        defaults = {option.name: option.default for option in self.options if option.name in self.needs}
        values = {name: options.get(name, defaults[name]) for name in self.needs}
        if values == defaults:
            return self.capability
        needs = (self._need(name, value) for name, value in values.items())
        return str(Capability(self.name, self.version, tuple(needs)))

    def needs_of(self, capability: str) -> dict[str, Any]:
        """The options that ``requirement`` made a capability of.

        Raises:
            ValueError: It is none of this job's.
        """
        parsed = Capability.parse(capability)
        if str(parsed.plain) != self.capability or len(parsed.needs) not in (0, len(self.needs)):
            raise ValueError(f"{capability!r} is no capability of the job {self.name}")
        known = {option.name: option for option in self.options}
        found = {name: known[name].read(str(need)) for name, need in zip(self.needs, parsed.needs, strict=False)}
        if self.requirement(found) != capability:
            raise ValueError(f"{capability!r} is not how the job {self.name} writes it")
        return found

    def chunk_memory_bytes(self, capability: str) -> int | None:
        """The memory that a chunk of a run with that requirement takes, in bytes; None: the memory of a slot.

        Raises:
            ValueError: The capability is none of this job's.
        """
        return self.memory_bytes(**functions.taken(self.memory_bytes, self.needs_of(capability)))

    def _need(self, name: str, value: Any) -> names.Need:
        """The value of an option as a need: of all options only ``model`` names a model, and only with a version."""
        if self.bundles and name == "model" and isinstance(value, str):
            with contextlib.suppress(errors.UsageError):  # the node that is to fetch it tells
                ref = ModelRef.parse(value)
                if ref.version is not None:
                    return ref
        return "" if value is None else str(value)

    @property
    def chunk_size(self) -> Option:
        """The option that says how large a chunk is, in the splitter's unit."""
        parameter = inspect.signature(self.split).parameters["chunk_size"]
        return Option("chunk_size", int, parameter.default, f"how large a chunk is, {self.chunk_unit}", minimum=1)

    @property
    def options_schema(self) -> dict[str, Any]:
        """All options as one JSON Schema of an object: what ``check_options`` and ``check_given`` take."""
        return {
            "type": "object",
            "properties": {option.name: option.json_schema for option in (*self.options, self.chunk_size)},
            "required": [option.name for option in self.options if option.required],
            "additionalProperties": False,
        }

    def check_options(self, given: Options) -> dict[str, Any]:
        """All options with their values: those given, else the defaults.

        Raises:
            errors.UsageError: An option is not of this job, or its value cannot be used.
        """
        known = {option.name: option for option in (*self.options, self.chunk_size)}
        for name in given:
            if name not in known:
                raise errors.UsageError(f"job {self.name} has no option {name!r} (it has: {', '.join(known)})")
        return {name: option.check(given.get(name, option.default)) for name, option in known.items()}

    def check_given(self, given: Options) -> None:
        """See that a run is submitted with all that has no default.

        Raises:
            errors.UsageError: An option is missing.
        """
        for option in self.options:
            if option.required and given.get(option.name) is None:
                raise errors.UsageError(f"job {self.name} needs {option.flag}: {option.help}")

    def options_of_run(self, given: Options) -> dict[str, Any]:
        """All options as they stand in a run that is submitted with these: see ``check_options`` and ``prepare``.

        Raises:
            errors.UsageError: An option cannot be used, or options do not go together.
        """
        checked = self.check_options(given)
        if self.prepare is None:
            return checked
        try:
            prepared = self.prepare({name: checked[name] for name, value in given.items() if value is not None})
        except OSError as error:
            raise errors.UsageError(f"{error.filename}: {error.strerror}") from None
        except ValueError as error:
            raise errors.UsageError(str(error)) from None
        return self.check_options(prepared)

    def chunks(self, source: Source, options: Options, passed_over: PassedOver | None = None) -> Iterator[Chunk]:
        """Cut ``source``, lazily; ``passed_over`` counts the files that the splitter leaves out.

        Raises:
            errors.NothingToDo: Nothing in it for this job.
            errors.UsageError: A path does not exist, or the chunk size is out of range.
            errors.JobUnavailable: The splitter needs a library that is not installed.
        """
        with naming_input():
            try:
                yield from self.split(
                    for_splitter(source),
                    **functions.taken(self.split, {**options, "passed_over": passed_over}),
                )
            except NothingToSplit as error:
                raise errors.NothingToDo(str(error)) from None
            except ImportError as error:
                raise errors.JobUnavailable(
                    f"this machine cannot cut the input of the job {self.name}: {error}"
                ) from None
            except NotFiles:
                raise errors.UsageError(
                    f"the splitter of the job {self.name} reads files: give paths, not bytes"
                ) from None

    def count_items(self, source: Sequence[Path] | Items, options: Options) -> int | None:
        """How many items a run with these options will have, or about so many; None where the job cannot tell."""
        return None if self.count is None else self.count(source, **functions.taken(self.count, options))

    @property
    def counts_files(self) -> bool:
        """Whether an item is about a file of the input, or a page of one, as far as counting tells."""
        return self.count is not None and "chunk_size" not in functions.parameters(self.count)

    @property
    def cuts_items(self) -> bool:
        """Whether an item may be a piece of what was given, and not all of it: counting looks at options then."""
        return self.count is not None and len(functions.parameters(self.count)) > 1

    def plan_of(self, source: Source, given: Options) -> str:
        """What a run that is submitted with these options would do, as a text for people.

        Raises:
            errors.UsageError: The job has nothing to tell, or an option or the input cannot be used.
        """
        if self.plan is None:
            raise errors.UsageError(f"the job {self.name} has no plan to show: leave out --plan")
        options = self.options_of_run(given)
        [about] = next(self.chunks(source, options))
        try:
            return self.plan(about.data, **functions.taken(self.plan, options))
        except ValueError as error:
            raise errors.UsageError(str(error)) from None

    def run_task(self, chunk: Chunk, options: Options) -> Part[Any]:
        """Do one chunk, here."""
        part: Part[Any] = self.task(chunk, **functions.taken(self.task, options))
        return part

    def answer_of(self, value: Any, options: Options) -> Any:
        """What a service answers of an item that has this value in a part."""
        return self.answer(value, **functions.taken(self.answer, options)) if self.answer else value

    def run_aggregate(self, parts: Iterable[Any], options: Options) -> Any:
        """Join parts into one, here."""
        return self.aggregate(parts, **functions.taken(self.aggregate, options))

    @property
    def joins_by_name(self) -> bool:
        """Whether each part maps items to what was made of them, so that it is a result by itself."""
        return functions.path_of(self.aggregate) == BY_NAME or any(format_.live for format_ in self.formats.values())

    @property
    def aggregates_with_model(self) -> bool:
        """Whether the aggregator takes the folder of the bundle."""
        return "model" in functions.parameters(self.aggregate)

    def check_part(self, value: Any, names: Collection[str] | None = None) -> None:
        """See that a value is one that the task gives for items of these names (None: of any).

        Raises:
            ValueError: It is not; the message says what is wrong.
        """
        if check := self.check or CHECKS.get(functions.path_of(self.aggregate)):
            try:
                check(value, names)
            except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
                raise ValueError(f"{type(error).__name__}: {error}") from error

    def largest_picture(self, chunk: Chunk, options: Options) -> float:
        """Million pixels of the largest picture that a run with these options decodes; 0 where it decodes none."""
        most = options.get("max_megapixels", math.inf)
        sizes = (size for item in chunk for size in self.megapixels(item.data)) if self.megapixels else ()
        return max((size for size in sizes if size <= most), default=0.0)

    def result(self, parts: Iterable[Any], options: Options) -> Any:
        """Join ``parts`` and finish; of a job with rounds the only part is what it was finished to."""
        if self.rounds:
            [result] = parts
            return result
        joined = self.run_aggregate(parts, options)
        return self.finish(joined, **functions.taken(self.finish, options)) if self.finish else joined

    def why_not_here(self, options: Options | None = None) -> str:
        """Why this machine cannot do this job (with these options), or ""."""
        try:
            return self.why_unavailable(**functions.taken(self.why_unavailable, options or {}))
        except Exception as error:  # noqa: BLE001 - a job's own mistake must not keep a node from the others
            return f"whether it can be done cannot be told: {type(error).__name__}: {error}"

    def writer(self, name: str, options: Options) -> Format:
        """The format ``name``; ``json`` writes the whole result where the job brings nothing better.

        Raises:
            errors.UsageError: The job has no such format, this machine lacks what it is written with, or a run with
                these options cannot be written so.
        """
        if name in self.formats:
            found = self.formats[name]
            if found.needs and not importlib.util.find_spec(found.needs):
                raise errors.UsageError(
                    f"the format {name} needs {found.needs}, which is not installed: pip install '{found.install}', or"
                    " give another --format"
                )
            self._require_begun_for(name, options)
            return found._replace(write=functools.partial(found.write, **functions.taken(found.write, options)))
        if name != "json":
            raise self.no_format(name)

        def write_json(parts: Iterable[Any], out: Any) -> None:
            flags = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
            out.write(orjson.dumps(self.result(parts, options), option=flags))

        return Format(write_json)

    def no_format(self, name: str) -> errors.UsageError:
        """The error that says which formats there are."""
        known = ", ".join(self.format_names)
        return errors.UsageError(f"job {self.name} has no format {name!r} (it has: {known})")

    def options_for(self, name: str | None, given: Options) -> dict[str, Any]:
        """The options that a run is submitted with, to be written in the format ``name``: see ``Format.sets``."""
        wanted = self.formats.get(name) if name is not None else None
        return {**given, **(wanted.sets if wanted else {})}

    def _require_begun_for(self, name: str, options: Options) -> None:
        wanted = self.formats[name]
        if lacking := {option: value for option, value in wanted.sets.items() if options.get(option) != value}:
            why = wanted.without or f"it was begun without {lacking}"
            alike = "|".join(other for other, format_ in self.formats.items() if format_.sets == wanted.sets)
            raise errors.UsageError(f"the run cannot be written as {name}: {why}; submit it with --format {alike}")

    @property
    def formats_to_add_to(self) -> list[str]:
        """Those of ``format_names`` in which a further run can add its results to an earlier one's."""
        able = {name for name, one in self.formats.items() if one.folder or one.file or one.merge is not None}
        return [name for name in self.format_names if name in able] if self.walk else []

    @property
    def format_names(self) -> list[str]:
        """The formats that ``writer`` knows."""
        return ["json", *(name for name in self.formats if name != "json")]

    def run_locally(self, source: Source, **options: Any) -> Any:
        """The job's result on ``source``, in this process, without a broker: what the job means.

        Items that fail are left out; ``outcome_locally`` tells which.
        """
        return self.outcome_locally(source, **options).result

    def outcome_locally(self, source: Source, **options: Any) -> Outcome:
        """Like ``run_locally``, with the failures."""
        from cluster import local_run

        return local_run.outcome(self, source, self.options_of_run(options))
