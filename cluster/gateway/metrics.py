"""Numbers of the gateway, as Prometheus reads them: for each version of a service, since the gateway began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cluster.gateway.board import State
from cluster.gateway.hub import Hub
from cluster.gateway.line import Histogram, Line

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
COUNTS: Mapping[str, tuple[str, str]] = {
    "resent": ("cluster_resent_total", "Requests sent once more, because no answer came."),
    "late": ("cluster_late_total", "Requests that had no answer within their deadline."),
    "refused": ("cluster_refused_total", "Requests that were refused, because too many waited."),
}
HISTOGRAMS: Mapping[str, tuple[str, str]] = {
    "latency_s": ("cluster_latency_seconds", "Time from when the gateway sent a request to its answer."),
    "queue_s": ("cluster_queue_seconds", "Of this, all but the time that the replica worked on its batch."),
    "batches": ("cluster_batch_size", "Requests that a replica took at a time."),
}


def text(hub: Hub, state: State, codes: Mapping[int, int]) -> str:
    """All numbers."""
    lines = list(hub.lines.values())
    return "\n".join([*_answers(codes), *_counts(lines), *_labelled(lines), *_histograms(lines), *_replicas(state), ""])


def _answers(codes: Mapping[int, int]) -> Iterator[str]:
    name = "cluster_http_answers_total"
    yield from _head(name, "counter", "Answers that belong to no version of a service.")
    yield from (f'{name}{{code="{code}"}} {count}' for code, count in sorted(codes.items()))


def _labelled(lines: Iterable[Line]) -> Iterator[str]:
    yield from _head("cluster_requests_total", "counter", "Requests by the code of their answer.")
    for line in lines:
        yield from (_row("cluster_requests_total", line, count, code=code) for code, count in line.codes.items())
    yield from _head("cluster_shadow_total", "counter", "Copies for a shadow version, by how their answers compare.")
    for line in lines:
        yield from (_row("cluster_shadow_total", line, count, result=said) for said, count in line.shadow.items())


def _counts(lines: Iterable[Line]) -> Iterator[str]:
    yield from _head("cluster_waiting", "gauge", "Requests of this gateway without an answer.")
    yield from (_row("cluster_waiting", line, line.waiting) for line in lines)
    for field, (name, meaning) in COUNTS.items():
        yield from _head(name, "counter", meaning)
        yield from (_row(name, line, getattr(line, field)) for line in lines)


def _histograms(lines: Iterable[Line]) -> Iterator[str]:
    for field, (name, meaning) in HISTOGRAMS.items():
        yield from _head(name, "histogram", meaning)
        for line in lines:
            yield from _histogram(name, line, getattr(line, field))


def _histogram(name: str, line: Line, found: Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*found.bounds, "+Inf"), found.counts, strict=True):
        total += count
        yield _row(f"{name}_bucket", line, total, le=bound)
    yield _row(f"{name}_sum", line, round(found.total, 6))
    yield _row(f"{name}_count", line, total)


def _replicas(state: State) -> Iterator[str]:
    yield from _head("cluster_replicas_ready", "gauge", "Replicas that take requests.")
    for name, known in sorted(state.services.items()):
        for version, count in sorted(known.ready.items(), key=lambda one: one[0] or 0):
            yield f"cluster_replicas_ready{{{_labels(name, version)}}} {count}"
    yield from _head("cluster_replicas_wanted", "gauge", "Replicas that the service is to have.")
    for name, known in sorted(state.services.items()):
        yield f'cluster_replicas_wanted{{service="{name}"}} {known.service.replicas}'


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _row(name: str, line: Line, value: float, **labels: object) -> str:
    more = "".join(f',{label}="{said}"' for label, said in labels.items())
    return f"{name}{{{_labels(line.target.service, line.target.version)}{more}}} {value}"


def _labels(service: str, version: int | None) -> str:
    return f'service="{service}",version="{version or ""}"'
