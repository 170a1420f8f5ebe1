"""How many threads serve a network that does not say: tiny ones leave the cores to the front.

Threads of an engine wait for each other by spinning. Where a row takes next to nothing they spin
more than they compute, on cores that the event loop needs to receive requests and send answers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from gluonserve.batching.selfcheck import generate_rows
from gluonserve.errors import ExecutionFailed
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
_FEW, _MANY, _BUDGET_SECONDS = 3, 40, 0.03  # runs, and how long they may take together


def open_for_serving(source: ModelSource, samples: Samples | None) -> Opened:
    """As ``open_source``, but with one thread where that is plenty and settings do not say.

    A row runs on all cores; only where it is short the network is compiled again for one thread,
    and kept so if a row is short there too.

    Raises:
        GluonserveError: a file is broken or missing, or no engine takes the network.
    """
    opened = open_source(source, samples)
    if not _is_open(source.settings) or _row_seconds(opened) > _PERHAPS_SHORT_SECONDS:
        return opened
    settings = source.settings.model_copy(update={"threads": 1})
    try:
        alone = open_source(replace(source, settings=settings), samples)
    except BaseException:
        opened.close()
        raise
    seconds = _row_seconds(alone)
    if seconds > SHORT_ROW_SECONDS:
        alone.close()
        return opened
    opened.close()
    why = alone.executor.description["why"]
    reason = f"{why}; one thread, because a row takes {seconds * 1000:.2g} ms"
    return replace(alone, facts={"why": reason})


def _is_open(settings: ModelSettings) -> bool:
    """Whether there is something to choose, and nobody has chosen."""
    return (
        settings.threads is None
        and settings.instances == 1
        and settings.device == "cpu"
        and settings.executor != "mxnet"  # the reference runs as MXNet does
        and available_cores() > 1
    )


def _row_seconds(opened: Opened) -> float:
    """The shortest of several runs of one row; infinite where the engine takes no made-up one."""
    signature = opened.executor.signature
    for free in opened.sizes:
        try:
            row = generate_rows(signature, 1, valid=opened.valid, free=free)
            return _shortest(opened.executor, row)
        except ExecutionFailed:  # noqa: PERF203 - of another size, perhaps; warm-up tells
            continue
    return math.inf


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
