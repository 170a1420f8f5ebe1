"""Whatever is done to real exports, importing them gives a network or one clear error."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest
from mutations import mutations

from gluonserve.errors import GluonserveError
from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

FORMATS = Path(__file__).parents[2] / "data/formats"
NETWORKS: dict[str, dict[str, InputHint]] = {
    "arrays": {"data1": InputHint(shape=(-1, 4))},
    "attention": {
        "data0": InputHint(shape=(-1, 5, 16)), "data1": InputHint(shape=(-1,)),
    },
    "boxes": {
        "data0": InputHint(shape=(-1, 3, 4)),
        "data1": InputHint(shape=(-1, 16)),
        "data2": InputHint(shape=(1, 4, 4)),
    },
    "cnn": {"data": InputHint(shape=(-1, 2, 4, 4))},
    "legacy": {"data": InputHint(shape=(-1, 2, 4, 4))},
    "loops": {},
    "mlp": {"data1": InputHint(shape=(-1, 4))},
    "numpy": {},
    "rnn": {},
    "words": {"data": InputHint(DType.INT32, (-1, 12))},
}  # fmt: skip
"""Ten networks of different kinds and formats, with what settings would say of their inputs."""
FEW, MANY = 24, 200
SECONDS = 10.0
MOST_BYTES = 64 << 20


def files(network: str) -> tuple[bytes, bytes]:
    """The symbol file, in an old dialect where the network is called so, and the parameters."""
    symbol = {"arrays": "mlp", "legacy": "cnn"}.get(network, network)
    params = "cnn" if network == "legacy" else network
    text = (FORMATS / f"{symbol}-symbol.json").read_bytes()
    stored = (FORMATS / f"{params}-0000.params").read_bytes()
    return (_of_version_0_8(text) if network == "legacy" else text), stored


def _of_version_0_8(text: bytes) -> bytes:
    """As MXNet wrote it before it stated its version: ``param``, and inputs without auxiliaries."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        node["param"] = node.pop("attrs", {})
        node["backward_source_id"] = -1
        node["inputs"] = [ref[:2] for ref in node["inputs"]]
    graph["heads"] = [ref[:2] for ref in graph["heads"]]
    return json.dumps({key: graph[key] for key in ("nodes", "arg_nodes", "heads")}).encode()


def imported(symbol: bytes, params: Path, hints: dict[str, InputHint]) -> str | None:
    """Import and lower; the text of the error, if that is how it ends."""
    try:
        import_model(symbol, params, inputs=hints).lower()
    except GluonserveError as error:
        return str(error)
    return None


def broken(network: str, path: Path, count: int, seed: int) -> int:
    """Import mutations, none of which may end otherwise; how many gave an error."""
    failures = 0
    for mutation in mutations(*files(network), count, seed=seed):
        path.write_bytes(mutation.params)
        start = time.process_time()
        try:
            message = imported(mutation.symbol, path, NETWORKS[network])
        except Exception as error:
            raise AssertionError(f"{network} {mutation.what}: {error!r}") from error
        assert time.process_time() - start < SECONDS, mutation.what
        if message is not None:
            failures += 1
            assert message.strip(), mutation.what
            assert len(message) < 2000, (mutation.what, message)
    return failures


@pytest.mark.parametrize("network", NETWORKS)
def test_unbroken_networks_load(network: str, tmp_path: Path) -> None:
    symbol, params = files(network)
    path = tmp_path / "net-0000.params"
    path.write_bytes(params)

    message = imported(symbol, path, NETWORKS[network])

    assert (message is None) == (network != "arrays"), message


@pytest.mark.parametrize("network", NETWORKS)
def test_mutations_give_one_error(network: str, tmp_path: Path) -> None:
    assert broken(network, tmp_path / "net-0000.params", FEW, seed=7) > FEW // 4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", NETWORKS)
def test_two_thousand_mutations_give_one_error(network: str, tmp_path: Path) -> None:
    assert broken(network, tmp_path / "net-0000.params", MANY, seed=8) > MANY // 4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", NETWORKS)
def test_mutations_take_little_memory(network: str, tmp_path: Path) -> None:
    path = tmp_path / "net-0000.params"
    tracemalloc.start()
    try:
        for mutation in mutations(*files(network), FEW * 2, seed=9):
            path.write_bytes(mutation.params)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            imported(mutation.symbol, path, NETWORKS[network])
            assert tracemalloc.get_traced_memory()[1] - before < MOST_BYTES, mutation.what
    finally:
        tracemalloc.stop()
