"""Load on one model of a running server, with rows that fit it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gluonserve.batching.selfcheck import generate_rows
from gluonserve.feeding import read_inputs
from gluonserve.loadgen import LoadReport, closed_loop, open_loop
from gluonserve.rpc.caller import Caller, infer_request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A closed loop of ``in_flight`` requests, or an open loop at ``rate`` where that is given."""

    seconds: float
    warmup_seconds: float
    in_flight: int = 1
    rate: float | None = None
    rows: int = 1


def bench(address: str, model: str, files: Sequence[Path], plan: LoadPlan) -> LoadReport:
    """Put load on a model, with the rows of ``files``, or made-up ones where there are none.

    Raises:
        GluonserveError: the server cannot be reached, or has no such model.
    """
    return asyncio.run(_bench(address, model, files, plan))


async def _bench(address: str, model: str, files: Sequence[Path], plan: LoadPlan) -> LoadReport:
    async with Caller(address) as caller:
        signature = await caller.signature(model)
        inputs: dict[str, np.ndarray]
        if files:
            inputs = read_inputs(files, signature.inputs)
        else:
            inputs = generate_rows(signature, plan.rows)
        request = infer_request(model, inputs)
        await caller.send(request)

        async def send() -> None:
            await caller.send(request)

        if plan.rate is not None:
            report = await open_loop(
                send, rate=plan.rate, seconds=plan.seconds, warmup_seconds=plan.warmup_seconds
            )
        else:
            report = await closed_loop(
                send,
                in_flight=plan.in_flight,
                seconds=plan.seconds,
                warmup_seconds=plan.warmup_seconds,
            )
    counted = [spec.name for spec in signature.inputs if spec.batch_axis == 0]
    report.rows_per_request = inputs[counted[0]].shape[0] if counted else 1
    return report
