"""One service as a process of its own: its environment, its log file, its health."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from honeyguide.client import open_channel
from honeyguide.config import CommonSettings
from honeyguide.errors import Unavailable
from honeyguide_standalone.child import ends_with_parent
from honeyguide_standalone.ports import free_port

LOG_BYTES_MAX = 16 * 2**20
TAIL_LINES = 8
TAIL_BYTES = 4_096
POLL_S = 0.05
STOP_EXTRA_S = 5.0


class ServiceProcess:
    """A service that runs as `python -m honeyguide_<name>` on one port, which a restart keeps."""

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        log_dir: Path,
        common: CommonSettings,
        port: int = 0,
        role: str = "",
    ) -> None:
        self.name = role or name
        self.port = port or free_port()
        self.restarts = 0
        self.log_path = log_dir / f"{self.name}.log"
        self._command = ["-m", f"honeyguide_{name}", *([role] if role else [])]
        self._common = common
        self._environment = {
            **os.environ,
            **environment,
            f"HONEYGUIDE_{name.upper()}_HOST": "127.0.0.1",
            f"HONEYGUIDE_{name.upper()}_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }
        if role:  # of two processes with the same settings one has the port for metrics
            self._environment.pop(f"HONEYGUIDE_{name.upper()}_METRICS_PORT", None)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0

    @property
    def address(self) -> str:
        """host:port of its gRPC server."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id, 0 = never started."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """True between start and end."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process; call it from the main thread, with which the process ends."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._log_begin = log.tell()
            self._process = subprocess.Popen(
                ends_with_parent([sys.executable, *self._command]),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def wait_serving(self, timeout_s: float) -> None:
        """Waits until its health says SERVING.

        Raises:
            Unavailable: it ended, or was not ready in time; with the end of its log since the start.
        """
        channel = open_channel(self.address, self._common)
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            async with asyncio.timeout(timeout_s):
                while self.running:
                    if await _serving(stub):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise Unavailable(f"{self.name} was not ready within {timeout_s:g} s; {self._tail()}") from None
        finally:
            await channel.close()
        code = self._process.returncode if self._process else None
        raise Unavailable(f"{self.name} ended with exit code {code}; {self._tail()}")

    async def serving(self) -> bool:
        """Asks its health once."""
        return self.running and await is_serving(self.address, self._common)

    async def stop(self) -> None:
        """Lets it drain, then ends it."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            await asyncio.to_thread(process.wait, self._common.drain_s + STOP_EXTRA_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tail(self) -> str:
        """The end of what was logged since the last start."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(self._log_begin, self.log_path.stat().st_size - TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        except OSError:
            lines = []
        return f"the end of {self.log_path}:\n" + "\n".join(f"  {line}" for line in lines)


async def is_serving(address: str, common: CommonSettings) -> bool:
    """Asks the health of the server at host:port once."""
    channel = open_channel(address, common)
    try:
        return await _serving(health_pb2_grpc.HealthStub(channel))
    finally:
        await channel.close()


async def _serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
