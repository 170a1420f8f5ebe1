"""Through gRPC: against the bare executor, and against an empty server that answers the same."""

from __future__ import annotations

import os
import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engines import Contestant, EngineProcess
from benchmarks.generators import Shape, h2load
from benchmarks.networks import LENET, RESNET50, with_instances, write_empty
from benchmarks.servers import EmptyServer, GluonServer, infer_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.generators import Load
    from benchmarks.networks import Network
    from benchmarks.plan import Plan
    from benchmarks.servers import ServerProcess

FOUR_IN_FLIGHT = Shape(clients=4)
SIXTY_FOUR_IN_FLIGHT = Shape(clients=8, streams=8)
EIGHT_STREAMS = Shape(clients=8, messages=2000)
ONE_IN_FLIGHT = Shape(clients=1)


def resnet(plan: Plan) -> dict[str, object]:
    """ResNet-50, 4 requests in flight, against the bare executor's best over batches 1, 2 and 4.

    Executor and servers have the same cores and threads, which one instance or as many as cores
    share; the generator's part of the same cores is reported beside the ratio.
    """
    cores = len(os.sched_getaffinity(0))
    folders = {
        "1 instance": RESNET50.folder,
        f"{cores} instances": with_instances(RESNET50, cores),
    }
    bare = EngineProcess(Contestant("auto"), RESNET50, sys.executable)
    rates: dict[str, list[float]] = {"batch 1": [], "batch 2": [], "batch 4": []}
    loads: dict[str, list[Load]] = {name: [] for name in folders}
    try:
        with ExitStack() as running:
            servers = {
                name: running.enter_context(GluonServer(folder)) for name, folder in folders.items()
            }
            senders = {
                name: _sender(server, _request(RESNET50), FOUR_IN_FLIGHT)
                for name, server in servers.items()
            }
            for batch in (1, 2, 4):
                bare.rate(batch, 1.0)
            counts = {name: _calibrated(send, plan.slice_seconds) for name, send in senders.items()}
            for _ in plan.turns("resnet50_v1 served"):
                for batch in (1, 2, 4):
                    rates[f"batch {batch}"].append(bare.rate(batch, plan.slice_seconds))
                for name, send in senders.items():
                    loads[name].append(send(counts[name]))
            memory = {name: server.memory() for name, server in servers.items()}
    finally:
        bare.close()
    best = max(statistics.median(values) for values in rates.values())
    served = {name: statistics.median(load.rate for load in side) for name, side in loads.items()}
    return {
        "bare_rows_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "served_rows_per_second": served,
        "ratios": {name: rate / best for name, rate in served.items()},
        "generator": {name: _generator(side) for name, side in loads.items()},
        "served_memory": memory,
        "rounds": {name: [asdict(load) for load in side] for name, side in loads.items()},
    }


def lenet(plan: Plan) -> dict[str, object]:
    """LeNet, one row per request, beside an empty server: 64 unary in flight, and 8 streams."""
    return {
        "unary, 64 in flight": _beside_empty(LENET, SIXTY_FOUR_IN_FLIGHT, plan),
        "8 streams": _beside_empty(LENET, EIGHT_STREAMS, plan),
    }


def empty_model(plan: Plan) -> dict[str, object]:
    """What a request costs where the model does nothing, in microseconds.

    ``cpu`` is the server process's processor time per request under load, ``latency`` the time of a
    lone request; the empty server's share of both is what gRPC in Python costs by itself.
    """
    row = Shape(clients=8, streams=8)
    folder = write_empty()
    request = infer_request("empty", np.zeros((1, 1), np.float32))
    figures: dict[str, dict[str, list[float]]] = {
        name: {"cpu_us": [], "latency_us": []} for name in ("gluonserve", "empty server")
    }
    with GluonServer(folder) as ours, EmptyServer(ours.answer(request)) as empty:
        sides: Mapping[str, ServerProcess] = {"gluonserve": ours, "empty server": empty}
        many = {
            name: _calibrated(_sender(one, request, row), plan.slice_seconds)
            for name, one in sides.items()
        }
        for _ in plan.turns("empty model"):
            for name, side in sides.items():
                before = side.cpu_seconds()
                load = _sender(side, request, row)(many[name])
                cpu = side.cpu_seconds() - before
                figures[name]["cpu_us"].append(cpu / load.requests * 1e6)
                alone = _sender(side, request, ONE_IN_FLIGHT)(max(many[name] // 16, 200))
                figures[name]["latency_us"].append(alone.seconds / alone.requests * 1e6)
    medians = {
        name: {key: statistics.median(values) for key, values in sides.items()}
        for name, sides in figures.items()
    }
    return {
        **medians,
        "added_by_gluonserve": {
            key: medians["gluonserve"][key] - medians["empty server"][key]
            for key in ("cpu_us", "latency_us")
        },
    }


def _beside_empty(network: Network, shape: Shape, plan: Plan) -> dict[str, object]:
    request = _request(network)
    loads: dict[str, list[Load]] = {"gluonserve": [], "empty server": []}
    with GluonServer(network.folder) as ours, EmptyServer(ours.answer(request)) as empty:
        sides: Mapping[str, ServerProcess] = {"gluonserve": ours, "empty server": empty}
        senders = {name: _sender(side, request, shape) for name, side in sides.items()}
        counts = {name: _calibrated(send, plan.slice_seconds) for name, send in senders.items()}
        answered = ours.answered()
        for turn in plan.turns(f"{network.name}, {shape}"):
            for name in sorted(senders, reverse=bool(turn % 2)):
                loads[name].append(senders[name](counts[name]))
        answered = ours.answered() - answered
    sent = sum(load.requests for load in loads["gluonserve"])
    if answered != sent:
        raise RuntimeError(f"the server counts {answered} answers to {sent} requests")
    rates = {name: statistics.median(one.rate for one in side) for name, side in loads.items()}
    return {
        "requests_per_second": rates,
        "ratio": rates["gluonserve"] / rates["empty server"],
        "generator": {name: _generator(side) for name, side in loads.items()},
        "call_p50_ms": {
            name: statistics.median(one.call_p50_ms for one in side) for name, side in loads.items()
        },
        "call_p99_ms": {
            name: statistics.median(one.call_p99_ms for one in side) for name, side in loads.items()
        },
        "rounds": {name: [asdict(load) for load in side] for name, side in loads.items()},
    }


def _request(network: Network) -> bytes:
    rows = np.random.default_rng(7).random((1, *network.row), dtype=np.float32)
    return infer_request(network.name, rows)


def _sender(server: ServerProcess, request: bytes, shape: Shape) -> Callable[[int], Load]:
    size = server.answer_bytes(request, streamed=shape.messages > 1)
    return lambda requests: h2load(server.port, request, size, shape, requests)


def _calibrated(send: Callable[[int], Load], seconds: float) -> int:
    """How many requests take about that long; the runs to find out are the warm-up."""
    requests = 16
    while True:
        load = send(requests)
        if load.seconds > seconds / 4:
            return max(16, round(load.rate * seconds))
        requests = load.requests * 4


def _generator(loads: list[Load]) -> dict[str, float]:
    cpu = sum(load.generator_cpu_seconds for load in loads)
    seconds = sum(load.seconds for load in loads)
    return {
        "cpu_seconds": cpu,
        "share_of_one_core": cpu / seconds,
        "share_of_the_machine": cpu / seconds / len(os.sched_getaffinity(0)),
    }
