"""From the samples of a scenario to what is told of it: medians, and what they lay between."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bulkmail.bench.measure import Sample

PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Spread:
    """A median of several runs, and between what they lay."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float], digits: int = 0) -> Spread:
        return cls(
            round(statistics.median(values), digits), round(min(values), digits), round(max(values), digits)
        )


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario, measured. What a run did not tell is None."""

    scenario: str
    recipients: int
    repeats: int
    recipients_per_s: Spread
    messages_per_s: Spread
    recipients_per_message: float
    latency_ms: dict[str, float] | None
    cpu_s_per_1000_messages: float
    start_s: float
    peak_mb: float
    sandbox_share: float | None
    undelivered: int  # of all runs together

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def result(scenario: str, recipients: int, samples: Sequence[Sample]) -> Result:
    """`samples`: at least one, each with at least one message."""

    def median(value: Callable[[Sample], float]) -> float:
        return statistics.median(value(sample) for sample in samples)

    latencies = [sample.latency_ms for sample in samples if sample.latency_ms]
    shares = [sample.sandbox_share for sample in samples if sample.sandbox_share is not None]
    return Result(
        scenario,
        recipients,
        len(samples),
        Spread.of([sample.recipients / sample.seconds for sample in samples]),
        Spread.of([sample.messages / sample.seconds for sample in samples]),
        round(median(lambda sample: sample.recipients / sample.messages), 1),
        {
            name: round(statistics.median(one[name] for one in latencies), 2)
            for name in PERCENTILES
            if all(name in one for one in latencies)
        }
        if latencies
        else None,
        round(median(lambda sample: sample.cpu_s / sample.messages * 1e3), 3),
        round(median(lambda sample: sample.start_s), 2),
        round(max(sample.peak_mb for sample in samples), 1),
        round(statistics.median(shares), 2) if shares else None,
        sum(sample.undelivered for sample in samples),
    )
