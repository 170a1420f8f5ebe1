"""Memory of importing and of serving, beside the size of the parameters."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.generators import Shape, h2load
from benchmarks.networks import NETWORKS
from benchmarks.servers import GluonServer, infer_request

if TYPE_CHECKING:
    from benchmarks.networks import Network
    from benchmarks.plan import Plan

REQUESTS = 64


def measure(_plan: Plan) -> dict[str, object]:
    """Import, compile and serve each network; figures above the bare packages are the network's."""
    return {network.name: {**_imported(network), **_served(network)} for network in NETWORKS}


def _imported(network: Network) -> dict[str, float]:
    command = [
        *(sys.executable, "-m", "benchmarks.memory_worker"),
        *(str(network.symbol), str(network.params), ",".join(map(str, network.row))),
    ]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    parameters = network.params.stat().st_size
    peak = max(figures["import_peak_bytes"], figures["compile_peak_bytes"])
    return {
        "parameter_bytes": parameters,
        **figures,
        "peak_over_parameters": peak / parameters,
    }


def _served(network: Network) -> dict[str, object]:
    request = infer_request(network.name, np.zeros((1, *network.row), np.float32))
    with GluonServer(network.folder) as server:
        ready = server.memory()
        size = server.answer_bytes(request, streamed=False)
        h2load(server.port, request, size, Shape(clients=8), REQUESTS)
        return {"served_ready": ready, "served_after_load": server.memory()}
