"""The figures of `make bench BENCH=peers`: percentiles, the table, and how the OpenAI SDK sees a cut stream."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import openai

from tests.sdk_outcomes import QUESTION

COLUMNS = (
    "first byte added, ms: p50",
    "p99",
    "of it after the provider sent: p50",
    "whole answer added, ms: p50",
    "CPU per event, µs",
    "peak memory, MB",
    "requests a second",
    "a cut stream, seen by the OpenAI SDK",
)


@dataclass(frozen=True)
class StreamEnd:
    """What the OpenAI SDK returned for a stream. `error` is the code or the message of the error that it raised."""

    text: str
    finish_reason: str | None = None
    error: str | None = None


@dataclass
class Samples:
    """The measurements of one program. Times are in milliseconds, `cpu` in microseconds for each event."""

    first_byte: list[float] = field(default_factory=list)
    relayed: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    peak_mb: float = 0
    cut: str = ""


def percentile(values: Sequence[float], percent: int) -> float:
    """Returns the smallest value that at least `percent` of 100 values do not exceed (the nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def row(name: str, samples: Samples, direct: Samples) -> str:
    """Returns a program's row. Added times are its times less the median of direct requests to the provider."""
    first_byte, whole = statistics.median(direct.first_byte), statistics.median(direct.whole)
    cells = (
        f"{percentile(samples.first_byte, 50) - first_byte:.1f}",
        f"{percentile(samples.first_byte, 99) - first_byte:.1f}",
        f"{percentile(samples.relayed, 50):.1f}",
        f"{percentile(samples.whole, 50) - whole:.1f}",
        f"{statistics.median(samples.cpu):.0f}",
        f"{samples.peak_mb:.0f}",
        f"{statistics.median(samples.per_second):.0f}",
        samples.cut,
    )
    return f"| {name} | {' | '.join(cells)} |"


def header() -> str:
    """Returns the two first lines of the table."""
    return f"| Program | {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 1)}---|"


def read_end(client: openai.OpenAI, model: str) -> StreamEnd:
    """Reads a stream like an application: the texts, the last `finish_reason`, and the error that ends it."""
    text, finish_reason = "", None
    try:
        for chunk in client.chat.completions.create(model=model, messages=[QUESTION], stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish_reason = choice.finish_reason or finish_reason
    except openai.APIError as error:
        return StreamEnd(text, finish_reason, error.code or error.message)
    return StreamEnd(text, finish_reason)


def verdict(end: StreamEnd) -> str:
    """Describes the end of a stream that the provider cut."""
    part = "half the answer" if end.text else "no text"
    if end.error is not None:
        return f"{part}, then the error `{end.error}`"
    if end.finish_reason is None:
        return f"{part}, no error, no `finish_reason`"
    return f"{part} as if whole: no error, `finish_reason` `{end.finish_reason}`"
