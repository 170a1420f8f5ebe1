"""How many threads run a network that does not say: one where a batch is too short for more.

Threads of an engine wait for each other by spinning. Where a batch takes next to nothing they spin
more than they compute, on cores that the event loop needs to receive requests and send answers.
docs/decisions/one-thread-for-tiny-networks.md has the figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from gluonserve.batching.selfcheck import generate_rows
from gluonserve.errors import ExecutionFailed
from gluonserve.executors.by_size import BySize
from gluonserve.executors.options import available_cores
from gluonserve.repository.opening import open_source
from gluonserve.repository.samples import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gluonserve.config import ModelSettings
    from gluonserve.executors.protocol import Executor
    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.opening import Opened
    from gluonserve.repository.samples import Samples

SHORT_ROW_SECONDS = 0.0003
"""About what the front spends on a request: a row that takes longer is worth several threads."""
_PERHAPS_SHORT_SECONDS = 0.001  # among threads that wait for each other
_LONG_BATCH_SECONDS = 0.003  # of one thread, if every row took as long as one by itself
_MOST_BYTES_TWICE = 32 << 20  # of parameters, which each of two engines packs for itself
_FEW, _MANY, _BUDGET_SECONDS = 3, 40, 0.03  # runs, and how long they may take together


def open_in_threads(source: ModelSource, samples: Samples | None) -> Opened:
    """As ``open_source``, but short batches on one thread where settings do not say.

    A row runs on all cores; only where it is short the network is compiled again for one thread,
    which has the short batches if a row is short there too. Long batches stay on all cores, unless
    there are so many parameters that one engine should be enough.

    Raises:
        GluonserveError: a file is broken or missing, or no engine takes the network.
    """
    opened = open_source(source, samples)
    if not _is_open(source.settings) or _row(opened).seconds > _PERHAPS_SHORT_SECONDS:
        return opened
    settings = source.settings.model_copy(update={"threads": 1})
    try:
        alone = open_source(replace(source, settings=settings), samples)
    except BaseException:
        opened.close()
        raise
    row = _row(alone)
    if row.seconds > SHORT_ROW_SECONDS:
        alone.close()
        return opened
    return _both(alone, opened, row)


def _both(alone: Opened, opened: Opened, row: _Row) -> Opened:
    why = alone.executor.description["why"]
    reason = f"{why}; one thread, because a row takes {row.seconds * 1000:.2g} ms"
    if (opened.device_bytes or 0) > _MOST_BYTES_TWICE:
        opened.close()
        only = BySize(alone.executor, alone.executor, math.inf, reason)
        return replace(alone, executor=only)
    rows = max(1, int(_LONG_BATCH_SECONDS / row.seconds))
    reason += f"; {available_cores()} for batches of more than {rows}"
    by_size = BySize(alone.executor, opened.executor, rows * row.elements, reason)

    def release() -> None:
        alone.release()
        opened.release()

    return replace(alone, executor=by_size, release=release)


def _is_open(settings: ModelSettings) -> bool:
    """Whether there is something to choose, and nobody has chosen."""
    return (
        settings.threads is None
        and settings.instances == 1
        and settings.device == "cpu"
        and settings.executor != "mxnet"  # the reference runs as MXNet does
        and available_cores() > 1
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """How long one row took, and how many elements its inputs have together."""

    seconds: float = math.inf
    elements: int = 0


def _row(opened: Opened) -> _Row:
    """The shortest of several runs of one row; endless where the engine takes no made-up one."""
    signature = opened.executor.signature
    for free in opened.sizes:
        try:
            row = generate_rows(signature, 1, valid=opened.valid, free=free)
            seconds = _shortest(opened.executor, row)
        except ExecutionFailed:  # of another size, perhaps; warm-up tells
            continue
        return _Row(seconds, sum(array.size for array in row.values()))
    return _Row()


def _shortest(executor: Executor, row: Mapping[str, np.ndarray]) -> float:
    """What disturbs a run only makes it longer, so the shortest is the truest."""
    shortest, start = math.inf, perf_counter()
    for turn in range(_MANY):
        began = perf_counter()
        if turn >= _FEW and began - start > _BUDGET_SECONDS:
            break
        run(executor, row)
        shortest = min(shortest, perf_counter() - began)
    return shortest
