"""Replays the cases whose names come on standard input; answers a line of JSON each."""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from tests.agreement import agreement
from tests.conforming import Result
from tests.replay import CORPUS, Case, cases, imported

from gluonserve.errors import ExecutionFailed, GluonserveError
from gluonserve.executors import choose
from gluonserve.executors.options import ExecutorOptions

if TYPE_CHECKING:
    from pathlib import Path

    from gluonserve.executors.protocol import Executor


def main() -> None:
    """Answer until the input ends; engines that print do so on standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, mode = line.split()
        op, _, number = name.rpartition("-")
        result = replay(_recorded(CORPUS / f"{op}.npz")[int(number)], mode, name)
        answers.write(json.dumps(asdict(result)) + "\n")
        answers.flush()


@functools.lru_cache(maxsize=2)
def _recorded(path: Path) -> list[Case]:
    return list(cases(path))


def replay(case: Case, mode: str, name: str = "") -> Result:
    """Import one case, run it on the executor of this choice, and compare every output."""
    label = name or str(case)
    try:
        executor = choose(imported(case), mode, ExecutorOptions(threads=1))
    except GluonserveError as error:
        return Result(label, mode, "", "refused", detail=_gist(error))
    except Exception as error:  # noqa: BLE001 - a defect of an importer is a result, too
        return Result(label, mode, "", "failed", detail=f"import: {_gist(error)}")
    engine = executor.description["executor"]
    try:
        answers = _run(executor, case)
    except ExecutionFailed as error:
        return Result(label, mode, engine, "failed", detail=_gist(error.__cause__ or error))
    except Exception as error:  # noqa: BLE001 - engines raise what they like
        return Result(label, mode, engine, "failed", detail=_gist(error))
    finally:
        executor.close()
    given = list(case.inputs.values())
    worst, detail = agreement(case.op, case.attrs, given, answers, case.outputs)
    if detail and case.alternatives:
        worst, detail = agreement(case.op, case.attrs, given, answers, case.alternatives)
    outcome = "differ" if detail else "agree"
    return Result(label, mode, engine, outcome, min(worst, 1e30), detail)


def _run(executor: Executor, case: Case) -> list[np.ndarray]:
    feeds = {spec.name: case.data[spec.name] for spec in executor.signature.inputs}
    lease = executor.lease({name: array.shape for name, array in feeds.items()})
    try:
        for name, array in feeds.items():
            np.copyto(lease.inputs[name], array)
        executor.run(lease)
        return [np.array(lease.outputs[spec.name]) for spec in executor.signature.outputs]
    finally:
        lease.release()


def _gist(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    main()
