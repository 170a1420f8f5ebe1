"""What is served over HTTP: the protocol's health endpoints, and metrics."""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from gluonserve.errors import InvalidRequest, ModelNotFound
from gluonserve.rest.server import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gluonserve.dataplane import DataPlane
    from gluonserve.metrics import Metrics
    from gluonserve.rest.server import HttpRequest

_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/ready")


def health_pages(plane: DataPlane) -> Callable[[HttpRequest], Awaitable[HttpAnswer]]:
    """``/v2/health/live``, ``/v2/health/ready``, ``/v2/models/NAME/ready``: 200, or 503 for no."""

    async def answer(request: HttpRequest) -> HttpAnswer:
        if request.path == "/v2/health/live":
            return _yes_or_no("live", yes=plane.live())
        if request.path == "/v2/health/ready":
            return _yes_or_no("ready", yes=plane.ready())
        model = _MODEL_READY.fullmatch(request.path)
        if model is None:
            return HttpAnswer(HTTPStatus.NOT_FOUND, b"Not Found\n")
        try:
            return _yes_or_no("ready", yes=plane.model_ready(model[1], model[2] or ""))
        except InvalidRequest as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except ModelNotFound as error:
            return _json(HTTPStatus.NOT_FOUND, {"error": str(error)})

    return answer


def metrics_pages(metrics: Metrics) -> Callable[[HttpRequest], Awaitable[HttpAnswer]]:
    """``/metrics``, written on a thread so that a scrape delays no request."""

    async def answer(request: HttpRequest) -> HttpAnswer:
        if request.path != "/metrics":
            return HttpAnswer(HTTPStatus.NOT_FOUND, b"Not Found; metrics are at /metrics\n")
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(metrics.exposition, accept)
        return HttpAnswer(body=body, content_type=content_type)

    return answer


def _yes_or_no(word: str, *, yes: bool) -> HttpAnswer:
    return _json(HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE, {word: yes})


def _json(status: HTTPStatus, content: dict[str, object]) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(content).encode(), "application/json")
