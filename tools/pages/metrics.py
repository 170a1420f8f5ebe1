"""What Prometheus reads: docs/metrics.md."""

from __future__ import annotations

from gluonserve.metrics import DEFINITIONS
from pages.markdown import NOTE, cell, paragraph

QUERIES = """
## Useful queries

Requests per second, by outcome:

    sum by (model, outcome) (rate(gluonserve_requests_total[1m]))

Rows per second (throughput):

    sum by (model) (rate(gluonserve_rows_total[1m]))

99th percentile of latency:

    histogram_quantile(0.99, sum by (model, le) (rate(gluonserve_request_seconds_bucket[1m])))

Mean batch size, in rows:

    sum by (model) (rate(gluonserve_batch_rows_sum[1m]))
      / sum by (model) (rate(gluonserve_batch_rows_count[1m]))
"""


def metrics_page() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics",
        "",
        NOTE,
        "",
        paragraph(
            """On `:8002/metrics` for Prometheus. Names and labels are API. Every metric has the
            labels `model` and `version`, and those of the third column. Times are in seconds."""
        ),
        "",
        "| metric | kind | further labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for definition in DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in definition.labels)
        lines.append(
            f"| `{definition.name}` | {definition.kind} | {labels} | {cell(definition.help)} |"
        )
    return "\n".join(lines) + "\n" + QUERIES
