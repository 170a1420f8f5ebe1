"""Whatever is done to real exports, reading them gives a graph and arrays, or one clear error."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from mutations import mutations

from gluonserve.errors import GluonserveError
from gluonserve.loader.outputs import output_names
from gluonserve.loader.params import read_params
from gluonserve.loader.roles import roles
from gluonserve.loader.symbol import read_symbol

FORMATS = Path(__file__).parents[2] / "data/formats"
NETWORKS = ("cnn", "mlp", "rnn", "loops", "numpy", "arrays")
MUTATIONS = 350
SECONDS = 2.0


def _read(symbol: bytes, params: Path) -> str | None:
    """Reads everything there is to read; the text of the error, if that is how it ends."""
    try:
        graph = read_symbol(symbol, name="net-symbol.json")
        with read_params(params) as stored:
            output_names(graph)
            roles(graph, stored)
            for name in stored:
                stored[name].sum()
    except GluonserveError as error:
        return str(error)
    return None


@pytest.mark.parametrize("network", NETWORKS)
def test_mutations_load_or_give_one_error(network: str, tmp_path: Path) -> None:
    """No other exception, in little time, and the message names the file and is short."""
    symbol = (FORMATS / f"{_symbol_of(network)}-symbol.json").read_bytes()
    params = (FORMATS / f"{network}-0000.params").read_bytes()
    path = tmp_path / "net-0000.params"
    failures = 0

    for mutation in mutations(symbol, params, MUTATIONS, seed=len(network)):
        path.write_bytes(mutation.params)
        start = time.perf_counter()
        message = _read(mutation.symbol, path)
        assert time.perf_counter() - start < SECONDS, mutation.what
        if message is not None:
            failures += 1
            assert "net-symbol.json: " in message or f"{path}: " in message, mutation.what
            assert len(message) < 1000, (mutation.what, message)

    assert failures > MUTATIONS // 4


@pytest.mark.parametrize("network", NETWORKS)
def test_mutations_take_memory_in_proportion_to_the_files(network: str, tmp_path: Path) -> None:
    """Sizes that a broken header claims are not allocated."""
    symbol = (FORMATS / f"{_symbol_of(network)}-symbol.json").read_bytes()
    params = (FORMATS / f"{network}-0000.params").read_bytes()
    path = tmp_path / "net-0000.params"
    path.write_bytes(params)
    _read(symbol, path)

    tracemalloc.start()
    try:
        for mutation in mutations(symbol, params, MUTATIONS // 5, seed=1):
            path.write_bytes(mutation.params)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            _read(mutation.symbol, path)
            taken = tracemalloc.get_traced_memory()[1] - before
            allowed = (2 << 20) + 32 * (len(mutation.symbol) + len(mutation.params))
            assert taken < allowed, mutation.what
    finally:
        tracemalloc.stop()


def _symbol_of(network: str) -> str:
    return "mlp" if network == "arrays" else network
