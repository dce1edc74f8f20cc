"""`honeyguide up` where it can't go well: one line says why, the exit code is 2, and nothing was started."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honeyguide.config import CommonSettings
from honeyguide.errors import Unavailable
from honeyguide_standalone import command, supervisor
from honeyguide_standalone.process import ServiceProcess

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must be refused; returns what it said."""

    def refused(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["honeyguide", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert len(err.splitlines()) == 1, err
        assert not (tmp_path / "data" / "logs").exists()
        assert not (tmp_path / "data" / "valkey").exists()
        return err

    return refused


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("how", [[], ["--in-process"]])
def test_a_taken_port(refused: Refused, tmp_path: Path, taken_port: int, how: list[str]) -> None:
    said = refused("up", "--port", str(taken_port), "--data-dir", str(tmp_path / "data"), *how)
    assert said == f"honeyguide: --port: {taken_port} is taken; choose another, or 0 for a free one\n"


def test_what_can_be_no_data_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (str(tmp_path / "file"), "/proc/nope"):
        said = refused("up", "--port", "0", "--data-dir", path)
        assert said.startswith(f"honeyguide: {path} can't be a data folder: ")


@pytest.mark.parametrize("url", ["banana", "http://127.0.0.1:6379", "redis://:secret@127.0.0.1:port", ""])
def test_what_is_no_address_of_redis(refused: Refused, tmp_path: Path, url: str) -> None:
    said = refused("up", "--port", "0", "--data-dir", str(tmp_path / "data"), "--redis-url", url)
    assert said.startswith("honeyguide: --redis-url: is no address such as redis://")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HONEYGUIDE_DRAIN_S", "soon", "HONEYGUIDE_DRAIN_S: Input should be a valid number"),
        ("HONEYGUIDE_TLS_CERTIFICATE", "a.pem", "HONEYGUIDE_TLS_CERTIFICATE: a PEM file is wanted that can be read"),
        ("HONEYGUIDE_LEXICAL_WRITER_THREADS", "0", "HONEYGUIDE_LEXICAL_WRITER_THREADS: Input should be greater"),
        ("HONEYGUIDE_VECTOR_M", "x", "HONEYGUIDE_VECTOR_M: Input should be a valid integer"),
        ("HONEYGUIDE_MEMORY_PARTITIONS", "0", "HONEYGUIDE_MEMORY_PARTITIONS: Input should be greater"),
        (
            "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT",
            '{"name": "a", "mode": "halves", "b": {}}',
            "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT: mode: Input should be 'split' or 'interleave', not 'halves'",
        ),
        (
            "HONEYGUIDE_ORCHESTRATOR_POLICY",
            "best",
            "honeyguide: HONEYGUIDE_ORCHESTRATOR_POLICY: 'best' is not one of sq",
        ),
        ("HONEYGUIDE_ORCHESTRATOR_POLICY", "", "honeyguide: HONEYGUIDE_ORCHESTRATOR_POLICY: '' is not one of squarecb"),
        (
            "HONEYGUIDE_ORCHESTRATOR_SHADOW_POLICY",
            "best",
            "honeyguide: HONEYGUIDE_ORCHESTRATOR_SHADOW_POLICY: 'best' is not one of squarecb, ",
        ),
        (
            "HONEYGUIDE_ORCHESTRATOR_RANKER",
            "best",
            "honeyguide: HONEYGUIDE_ORCHESTRATOR_RANKER: 'best' is not one of gat",
        ),
        (
            "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT",
            '{"name": "a", "mode": "split", "share": 0.5, "b": {"policy": "best"}}',
            "honeyguide: HONEYGUIDE_ORCHESTRATOR_EXPERIMENT: 'best' is not one of squarecb, ",
        ),
        (
            "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT",
            '{"name": "a", "mode": "split", "share": 0.5, "a": {"ranker": "best"}, "b": {}}',
            "honeyguide: HONEYGUIDE_ORCHESTRATOR_EXPERIMENT: 'best' is not one of gated, ",
        ),
    ],
)
def test_a_wrong_setting_of_any_service(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert refused("up", "--port", "0", "--data-dir", str(tmp_path / "data")).startswith(said)


def test_a_retrievers_file_that_is_wrong(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "retrievers.yaml"
    file.write_text("- editors\n")
    said = refused("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert said.startswith(f"honeyguide: {file}: is not a mapping")
    assert file.read_text() == "- editors\n"


def test_retrievers_that_people_added_stay(tmp_path: Path) -> None:
    file = tmp_path / "retrievers.yaml"
    assert supervisor._added_retrievers(file) == {}
    file.write_text("editors: 127.0.0.1:50071\nlexical: 127.0.0.1:1\n")
    services = supervisor._services(tmp_path, CommonSettings(), 0, "redis://127.0.0.1:1/0")
    supervisor._write_retrievers(file, services, supervisor._added_retrievers(file))
    written = supervisor.read_file(file)
    assert written == {
        **{name: services[name].address for name in supervisor.RETRIEVERS},
        "editors": "127.0.0.1:50071",
    }
    assert supervisor._added_retrievers(file) == {"editors": "127.0.0.1:50071"}


async def test_a_service_that_ends_tells_what_it_logged_since_its_start(tmp_path: Path) -> None:
    service = ServiceProcess("of_nobody", {}, tmp_path, CommonSettings())
    service.log_path.write_text("what an earlier start said\n")
    service.start()
    with pytest.raises(Unavailable) as raised:
        await service.wait_serving(30)
    assert "No module named honeyguide_of_nobody" in raised.value.message
    assert "earlier" not in raised.value.message
    assert "earlier" in service.log_path.read_text()


@pytest.mark.parametrize("name", ["search", "suggest"])
def test_what_is_not_utf_8(tmp_path: Path, name: str) -> None:
    # A server that would be asked; the text can't even be sent.
    line = [sys.executable, "-m", "honeyguide_standalone", name, b"a\xffb", "--target", "127.0.0.1:1"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "utf-8" in ended.stderr
