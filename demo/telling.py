"""Latency and throughput, read from two visits to /metrics as Prometheus would read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

Samples: TypeAlias = "dict[tuple[str, str, str], float]"


def samples(page: str) -> Samples:
    """(sample name, model, ``le``) -> value, other labels summed up."""
    values: Samples = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("model", ""), sample.labels.get("le", ""))
            values[key] = values.get(key, 0) + sample.value
    return values


def print_metrics(before: Samples, after: Samples, seconds: float) -> None:
    """One line per model: all its requests so far; and what came of the load in between."""
    print("\nfrom /metrics         requests   p50 ms   p99 ms   rows per batch")
    for model in _models(after):
        count = after["gluonserve_request_seconds_count", model, ""]
        p50, p99 = (1e3 * _quantile(after, model, share) for share in (0.5, 0.99))
        mean = _mean(after, "gluonserve_batch_rows", model)
        print(f"  {model:<20}{count:8.0f}{p50:9.2f}{p99:9.2f}{mean:12.2f}")
    change = {key: value - before.get(key, 0) for key, value in after.items()}
    rows = change["gluonserve_rows_total", "lenet_digits", ""]
    p50, p99 = (1e3 * _quantile(change, "lenet_digits", share) for share in (0.5, 0.99))
    mean = _mean(change, "gluonserve_batch_rows", "lenet_digits")
    print(
        f"under load: lenet_digits answered {rows / seconds:,.0f} rows per second,"
        f" p50 {p50:.2f} ms, p99 {p99:.2f} ms, {mean:.1f} rows per batch"
    )


def _models(values: Samples) -> Iterator[str]:
    name = "gluonserve_request_seconds_count"
    yield from sorted(model for what, model, _ in values if what == name and model)


def _mean(values: Samples, name: str, model: str) -> float:
    return values[f"{name}_sum", model, ""] / max(values[f"{name}_count", model, ""], 1)


def _quantile(values: Samples, model: str, share: float) -> float:
    """As ``histogram_quantile`` does it: straight lines between the bounds of buckets."""
    name = "gluonserve_request_seconds_bucket"
    buckets = sorted(
        (float(le), n) for (what, of, le), n in values.items() if (what, of) == (name, model)
    )
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return (
                low
                if bound == float("inf")
                else low + (bound - low) * (wanted - below) / (count - below)
            )
        low, below = bound, count
    return low
