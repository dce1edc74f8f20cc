"""The probe of container health checks."""

from __future__ import annotations

import asyncio

import pytest

from honeyguide.probe import main


async def test_serving_and_draining(serve, capfd):
    async with serve() as server:
        address = f"127.0.0.1:{server.port}"
        assert await asyncio.to_thread(main, [address]) == 0
    assert await asyncio.to_thread(main, [address]) == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"{address}: ")


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_wrong_use(arguments, capsys):
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
