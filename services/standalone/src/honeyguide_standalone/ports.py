"""TCP ports on loopback."""

from __future__ import annotations

import errno
import socket

from honeyguide.errors import InvalidArgument

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def check_free(port: int) -> None:
    """Raises InvalidArgument if somebody listens on a port, or it can't be listened on; 0 = any free one."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"can't be listened on ({error.strerror})"
        raise InvalidArgument("--port", f"{port} {why}; choose another, or 0 for a free one") from None
