"""The whole server: what starts and stops in which order; the only module that knows everybody.

Start: find the models and listen, then load. Liveness, metrics and the state of every model answer
while models load; readiness says no until they are done, and a port that is taken is known at once.

Stop: not ready, go on serving for ``drain_delay_s`` so that load balancers look away, stop
accepting, answer what is inside within ``exit_timeout_s``, close the engines, and the metrics last.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from typing import TYPE_CHECKING, Any

from structlog import get_logger

from gluonserve.config import unknown_variables
from gluonserve.dataplane import DataPlane
from gluonserve.errors import InvalidConfig
from gluonserve.executors.options import available_cores
from gluonserve.loops import new_event_loop
from gluonserve.metrics import Metrics
from gluonserve.ports import addresses, check_ports
from gluonserve.repository.loading import load_version
from gluonserve.repository.model import ModelState
from gluonserve.repository.repository import Repository
from gluonserve.rest.pages import health_pages, metrics_pages
from gluonserve.rest.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from typing_extensions import Self

    from gluonserve.config import ServerSettings
    from gluonserve.repository.layout import ModelSource
    from gluonserve.repository.loading import Loaded
    from gluonserve.rpc.fronts import Fronts
    from gluonserve.rpc.server import RpcServer

log = get_logger(__name__)

_CROSSING_SECONDS, _LONGEST_CROSSING_SECONDS = 0.25, 2.0
"""How long no request must have come before listening ends, and how long that is waited for.

Refusals are answered until then: gRPC would cancel what crosses its closing, or waits for us."""
_PAUSES_S: Mapping[signal.Signals, float] = {
    signal.SIGINT: 0.25,
    signal.SIGTERM: 3.0,
    signal.SIGHUP: 3.0,
}
"""What we listen for, and how long after the first one another is no echo of it."""


class Server:
    """A server from ``start`` to ``stop``, inside a running event loop.

    ``ports`` are those that were bound, by ``http``, ``grpc`` and ``metrics``; ``off`` ones lack.
    ``addresses`` are those of the host, which every port is bound on.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        load: Callable[[ModelSource, threading.Event], Loaded] = load_version,
    ) -> None:
        self.settings = settings
        self.ports: dict[str, int] = {}
        self.addresses: list[str] = []
        self.repository = Repository(
            settings.model_repository,
            model_name=settings.model_name,
            load_threads=settings.load_threads,
            load=load,
            changed=self._changed,
        )
        self.dataplane = DataPlane(self.repository, strict_readiness=settings.strict_readiness)
        self._metrics_server = HttpServer(metrics_pages(Metrics(self.repository)))
        self._health_server = HttpServer(health_pages(self.dataplane))
        self._rpc: RpcServer | Fronts | None = None
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and begin to load; ``loaded`` waits for the models.

        Raises:
            InvalidConfig: the repository is not there, or a port cannot be had.
        """
        self.repository.find()
        check_ports(self.settings.host, self._wanted_ports())
        if self._wanted_ports():
            self.addresses = addresses(self.settings.host)
        try:
            await self._listen()
        except BaseException:
            await self.stop(0)
            raise
        self._loading = asyncio.create_task(self.repository.load_all())

    async def loaded(self) -> None:
        """Wait until every model was tried."""
        if self._loading is not None:
            await self._loading

    async def stop(self, within: float | None = None) -> None:
        """Drain and close everything; what is left after ``within`` seconds is failed.

        The default is ``exit_timeout_s``. May be called again, with less time, after cancelling.
        """
        loop = asyncio.get_running_loop()
        delay = self.settings.drain_delay_s
        delay = delay if within is None else min(delay, within)
        within = self.settings.exit_timeout_s if within is None else within
        self.dataplane.drain()
        self._changed()
        log.info("draining", seconds=within)
        await asyncio.sleep(delay)
        end = loop.time() + within
        self.dataplane.close()
        self.repository.give_up_loading()
        await self._quiet(min(_LONGEST_CROSSING_SECONDS, within))
        if self._rpc is not None:
            await self._rpc.stop(within)
        await self._health_server.stop()
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=max(0.0, end - loop.time()))
            self._loading.cancel()
        await self.repository.close(max(0.0, end - loop.time()))
        await self._metrics_server.stop()
        log.info("stopped")

    async def _quiet(self, within: float) -> None:
        """Go on refusing until no request has come for a moment, or for so many seconds."""
        clock = asyncio.get_running_loop().time
        end, told = clock() + within, -1
        while told != self.dataplane.turned_away and clock() < end:
            told = self.dataplane.turned_away
            await asyncio.sleep(min(_CROSSING_SECONDS, end - clock()))

    def ready_line(self) -> str:
        """One line with the ports that were bound and how many models serve."""
        versions = self.repository.all_versions()
        serving = sum(version.state is ModelState.READY for version in versions)
        ports = ", ".join(f"{name} {port}" for name, port in self.ports.items())
        where = f"{ports} on {' and '.join(self.addresses)}" if ports else "no port"
        state = "ready" if self.dataplane.ready() else "NOT ready"
        return f"gluonserve is {state}: {where}; {serving} of {len(versions)} models serve"

    def model_lines(self) -> Iterator[str]:
        """Every version with its state, and what runs it or why nothing does."""
        for model in self.repository.all_versions():
            why = model.reason
            if model.state is ModelState.READY:
                facts = model.description
                batching = f"batches of up to {model.policy.max_rows} rows"
                why = (
                    f"{facts['executor']} on {facts['device']}, {facts['precision']}, "
                    f"{batching if model.batched else 'unbatched'}"
                )
            first = (why.splitlines() or [""])[0]
            number = model.version_text or "-"
            yield f"{model.name:<24} {number:>3}  {model.state.value:<12} {first}"

    def _wanted_ports(self) -> dict[str, int]:
        settings = self.settings
        ports = {
            "http_port": settings.http_port,
            "grpc_port": settings.grpc_port,
            "metrics_port": settings.metrics_port,
        }
        return {name: port for name, port in ports.items() if isinstance(port, int)}

    async def _listen(self) -> None:
        settings = self.settings
        if isinstance(settings.metrics_port, int):
            self.ports["metrics"] = await self._metrics_server.start(
                settings.host, settings.metrics_port
            )
        if isinstance(settings.http_port, int):
            self.ports["http"] = await self._health_server.start(settings.host, settings.http_port)
        if isinstance(settings.grpc_port, int):
            self._rpc = _grpc(self.dataplane, settings)
            self.ports["grpc"] = await self._rpc.start(settings.host, settings.grpc_port)

    def _changed(self) -> None:
        if self._rpc is not None:
            self._rpc.refresh_health()


def _grpc(dataplane: DataPlane, settings: ServerSettings) -> RpcServer | Fronts:
    """GRPC over the data plane: in processes in front of this one, or here."""
    from gluonserve.rpc.fronts import CAN_SHARE_PORTS, FrontOptions, Fronts  # noqa: PLC0415 - only if gRPC is on
    from gluonserve.rpc.local import LocalCalls  # noqa: PLC0415
    from gluonserve.rpc.server import build_server  # noqa: PLC0415

    count, largest = settings.front_processes, settings.max_message_bytes
    if count == "auto":
        count = _fronts_for(available_cores()) if CAN_SHARE_PORTS else 0
    if count and not CAN_SHARE_PORTS:
        raise InvalidConfig(
            f"front_processes: {count} need ports that processes can share, which this system lacks"
        )
    if not count:
        return build_server(LocalCalls(dataplane), max_message_bytes=largest)
    options = FrontOptions(largest, settings.log_level, settings.log_format)
    return Fronts(dataplane, options, count)


def _fronts_for(cores: int) -> int:
    """A front can use a core, and this process feeds about two."""
    return min(2, max(cores // 4, 1)) if cores > 1 else 0


def run(settings: ServerSettings, *, announce: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; ``announce`` gets models' lines and the ready line.

    An orderly end is no failure: it returns, and the process may end with 0.

    Raises:
        InvalidConfig: the repository is not there, or a port cannot be had.
    """
    for variable in unknown_variables():
        log.warning("unknown setting in the environment", variable=variable)
    with _event_loop() as loop:
        loop.run_until_complete(serve(Server(settings), announce))


async def serve(server: Server, announce: Callable[[str], None] = print) -> None:
    """Start, wait for a signal, stop; one more in earnest fails what is left, a third kills.

    Supervisors often send one signal twice, to a process and to its group: that is still one.
    """
    with _Signals() as signals:
        await server.start()
        log.info("listening", addresses=server.addresses, **server.ports)
        loaded = asyncio.create_task(server.loaded())
        signalled = asyncio.create_task(signals.next())
        try:
            await asyncio.wait({loaded, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if loaded.done():
                loaded.result()
                gc.freeze()  # what loading left is never garbage; collections need not look at it
                for line in (*server.model_lines(), server.ready_line()):
                    announce(line)
                await signalled
        finally:
            loaded.cancel()
            signalled.cancel()
            await _stop(server, signals)


async def _stop(server: Server, signals: _Signals) -> None:
    """Stop in order, or at once if somebody insists."""
    stopping = asyncio.create_task(server.stop())
    again = asyncio.create_task(signals.insisting())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if stopping.done():
        stopping.result()
        return
    log.warning("stopping at once")
    signals.restore()
    stopping.cancel()
    await asyncio.wait({stopping})
    await server.stop(0)


class _Signals:
    """SIGINT, SIGTERM and SIGHUP as something to wait for; in another than the main thread, none.

    The handlers that were there come back at the end. Under nohup SIGHUP stays ignored.
    """

    def __init__(self) -> None:
        self._came: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in _PAUSES_S:
                before = signal.getsignal(number)
                if number is signal.SIGHUP and before is signal.SIG_IGN:
                    continue
                self._before[number] = before
                loop.add_signal_handler(number, self._came.put_nowait, number)
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    async def next(self) -> signal.Signals:
        """Wait for a signal."""
        return await self._came.get()

    async def insisting(self) -> None:
        """Wait for another signal that is no echo of the one before."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            number = await self.next()
            if clock() - began >= _PAUSES_S[number]:
                return
            log.info("stopping already", signal=number.name)

    def restore(self) -> None:
        """Give signals back to whom they belonged."""
        loop = asyncio.get_running_loop()
        for number, handler in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        self._before = {}


@contextlib.contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of the process, closed with everything that hangs on it."""
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
