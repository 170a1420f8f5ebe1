"""Operators whose results have a size that depends on values, compared with a hybridised network.

MXNet's bound executor, which recorded the cases, leaves the shape of such results empty: [0]. What
an exported network answers when Gluon runs it is what counts, and what these tests hold us to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from replay import CORPUS, ENGINES, cases, compare, imported, prepared

if TYPE_CHECKING:
    import numpy as np
    from replay import Case

pytestmark = pytest.mark.mxnet

DYNAMIC = ("_contrib_boolean_mask", "_npi_bincount", "_npi_unique", "_npx_nonzero")
"""Not ``_npi_delete``: a hybridised network refuses it."""
SELECTION = Path(__file__).parents[1] / "data" / "recorded"
WHERE = CORPUS if CORPUS.is_dir() else SELECTION


def called(case: Case) -> list[np.ndarray]:
    """What MXNet answers when Gluon calls the network."""
    import mxnet as mx  # noqa: PLC0415

    symbol = mx.sym.load_json(case.symbol.decode())
    arrays = {name: mx.nd.array(array, dtype=array.dtype) for name, array in case.inputs.items()}
    answers = mx.nd.CachedOp(symbol)(*(arrays[name] for name in symbol.list_inputs()))
    return [one.asnumpy() for one in (answers if isinstance(answers, list) else [answers])]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("operator", DYNAMIC)
def test_results_are_those_of_a_hybridised_network(operator: str, engine: str) -> None:
    import mxnet as mx  # noqa: PLC0415

    differing = {}
    for case in cases(WHERE / f"{operator}.npz"):
        with mx.util.np_shape(b'"is_np_shape": ["int", 1]' in case.symbol):
            wanted = called(case)
        _, difference = compare(prepared(imported(case), engine)(case.data), wanted)
        if difference:
            differing[case.id] = (dict(case.attrs), difference)

    assert differing == {}
