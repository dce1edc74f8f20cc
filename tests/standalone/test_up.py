"""`honeyguide up` and the commands against it: real processes, real ports, a real folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honeyguide_standalone import command
from honeyguide_standalone.process import free_port
from honeyguide_standalone.running import Running, read_running

START_S = 90.0
FILMS = [
    ("f1", "film", "Jurassic Park", "Dinosaurs on an island", 1993, ["Sci-Fi", "Adventure"]),
    ("f2", "film", "The Godfather", "A mafia family", 1972, ["Crime", "Drama"]),
    ("f3", "film", "Park Row", "Newspapers at war", 1952, ["Drama"]),
    ("p1", "person", "Harper Park", "Actor", None, []),
]


class Up:
    """A running `honeyguide up`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.metrics_port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "honeyguide_standalone", "up", "--port", "0", "--data-dir", str(data_dir)],
            env={**os.environ, "HONEYGUIDE_ORCHESTRATOR_METRICS_PORT": str(self.metrics_port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running = self._wait()

    def _wait(self) -> Running:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            running = read_running(self.data_dir)
            if running is not None and running.pid == self.process.pid:
                return running
            time.sleep(0.1)
        self.process.kill()
        raise TimeoutError(self.process.communicate()[0])

    def children(self) -> list[int]:
        """Process ids of what it started."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8")
        return [int(pid) for pid in listed.split()]

    def end(self, number: signal.Signals) -> str:
        """Sends a signal and waits for the end; returns what it said."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=60)
        return said


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("up") / "data")
    yield up
    if up.process.poll() is None:
        up.end(signal.SIGINT)


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(up: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command line in this process: exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["honeyguide", *arguments, "--data-dir", str(up.data_dir)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        out, err = capsys.readouterr()
        return int(str(ended.value.code)), out, err

    return call


def write_films(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for id, type, title, text, year, genres in FILMS:
            attributes = {"genre": genres, **({"year": year} if year else {})}
            record = {"id": id, "type": type, "title": title, "text": text, "attributes": attributes}
            file.write(json.dumps(record) + "\n")
        file.write('{"type": "film", "title": "without id"}\nnot json\n')


def found(call: Call, query: str, *options: str) -> list[str]:
    code, out, err = call("search", query, "--json", *options)
    assert code == 0, err
    return ids(out)


def ids(response: str) -> list[str]:
    return [result["document"]["id"] for result in json.loads(response).get("results", [])]


def test_index_takes_good_lines_and_names_bad_ones(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    write_films(path)
    code, out, err = call("index", str(path))
    assert code == 1
    assert "4 documents indexed" in out
    assert "inferred types film, person; keyword: genre; number: year" in out
    assert [line.split(": ", 1)[0] for line in err.splitlines()] == [f"{path}:5", f"{path}:6"]
    code, out, _ = call("index", str(path))
    assert code == 1
    assert "indexed already: 4 documents, 2 refused" in out
    time.sleep(1.0)  # what was acknowledged is found within a second


def test_the_orchestrator_has_the_metrics_port_and_not_the_learner(up: Up) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{up.metrics_port}/metrics", timeout=10) as answer:
        assert b"honeyguide_calls_total" in answer.read()


def test_a_stray_file_changes_nothing(up: Up, call: Call, tmp_path: Path) -> None:
    remembered = (up.data_dir / "last_catalog.json").read_text(encoding="utf-8")
    for content in ("", "id,title\n" * 301):
        stray = tmp_path / "stray.csv"
        stray.write_text(content, encoding="utf-8")
        code, out, err = call("index", str(stray))
        assert (code, out) == (2, "")
        assert err.startswith(f"honeyguide: {stray}: no document in ")
        assert len(err.splitlines()) == 1
    assert (up.data_dir / "last_catalog.json").read_text(encoding="utf-8") == remembered


def test_what_an_inferred_configuration_replaces_is_told(call: Call, tmp_path: Path) -> None:
    song, films = tmp_path / "song.jsonl", tmp_path / "films.jsonl"
    song.write_text('{"id": "s1", "type": "song", "title": "Love"}\n' + "no\n" * 25, encoding="utf-8")
    write_films(films)
    code, _, err = call("index", str(song))
    assert code == 1
    first, *refused, more = err.splitlines()
    assert first.startswith("this replaces the catalogue's configuration, which was types film, person; keyword: genre")
    assert [line.split(": ")[0] for line in refused] == [f"{song}:{number}" for number in range(2, 22)]
    assert more == "and 5 more"
    assert "which was types song " in call("index", str(films))[2]
    assert "replaces" not in call("index", str(films))[2]


def test_deleting_names_what_is_not_there(call: Call) -> None:
    assert call("delete", "s1", "f9", "s1") == (0, "1 document deleted; not there: f9\n", "")
    assert call("delete", "s1") == (0, "0 documents deleted; not there: s1\n", "")
    assert call("delete", "")[0] == 2


def test_further_pages_are_those_of_the_last_search(call: Call) -> None:
    def page(number: int, *options: str) -> dict[str, Any]:
        code, out, err = call("search", "park", "--json", "--page-size", "1", "--page", str(number), *options)
        assert code == 0, err
        response: dict[str, Any] = json.loads(out)
        return response

    first, second, third = page(1), page(2), page(3)
    assert first["decision_id"] == second["decision_id"] == third["decision_id"] == page(2)["decision_id"]
    shown = [result["document"]["id"] for one in (first, second, third) for result in one["results"]]
    assert len(set(shown)) == 3
    assert call("click", "2")[0] == 0
    other = page(2, "--user", "ann")["decision_id"]
    assert other not in {first["decision_id"], page(2, "--user", "ann", "--untracked")["decision_id"]}
    assert page(1)["decision_id"] != first["decision_id"]
    code, _, err = call("search", "park", "--page-size", "1", "--page", "99")
    assert code == 2
    assert err.startswith("honeyguide: --page: there are only ")


def test_pages_of_a_search_that_is_gone_are_those_of_a_new_one(up: Up, call: Call) -> None:
    gone = json.loads(call("search", "park", "--json", "--page-size", "1")[1])["decision_id"]
    path = up.data_dir / "last_search.json"
    last = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**last, "page_tokens": ["x"]}), encoding="utf-8")
    code, out, err = call("search", "park", "--json", "--page-size", "1", "--page", "2")
    assert code == 0, err
    assert json.loads(out)["decision_id"] != gone
    assert json.loads(out)["results"][0]["position"] == 2


def test_search_finds_filters_and_explains(call: Call) -> None:
    code, out, _ = call("search", "jurasic park")
    assert code == 0
    assert "Jurassic Park (1993)" in out
    assert "lexical." in out
    assert set(found(call, "park", "--filter", "type=film")) <= {"f1", "f2", "f3"}
    assert found(call, "park", "--filter", "type=film", "--filter", "year=1990..1999") == ["f1"]
    assert "f1" not in found(call, "park", "--exclude", "f1")
    code, out, _ = call("search", "park", "--explain")
    assert "understood" in out
    assert "propensity" in out
    assert "ranked by" in out


def test_actions_go_to_a_result_of_the_last_search(call: Call) -> None:
    assert found(call, "godfather", "--user", "ann")[0] == "f2"
    for action in (["click", "1"], ["like", "1"], ["play", "1", "--seconds", "1800"], ["skip", "1"]):
        code, out, err = call(*action)
        assert (code, err) == (0, "")
        assert f"{action[0]} on The Godfather for 'godfather' is noted" in out
    code, _, err = call("click", "77")
    assert code == 2
    assert err.startswith("honeyguide: result: 77 was not shown")


def test_suggest_stats_policy_and_decisions(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("suggest", "jur")
    assert code == 0
    assert "Jurassic Park" in out
    code, out, _ = call("stats", "--json")
    assert json.loads(out)["catalog"]["services"]["lexical"]["document_count"] == "4"
    code, out, _ = call("policy")
    assert code == 0
    assert "ranker" in out
    for format in ("json", "dsjson", "complete"):
        code, out, _ = call("decisions", "export", "--format", format)
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert lines
    code, _, err = call("evaluate")
    assert code == 2
    assert "are not settled yet" in err
    past = tmp_path / "past.jsonl"
    line = '{"time": "2020-01-01T%s:00Z", "query": "park", "document_id": "f1"}\n'
    past.write_text(line % "10:00" + line % "11:00", encoding="utf-8")
    assert call("replay", str(past))[0] == 0
    end = time.monotonic() + 10
    code, out, err = call("evaluate", "--policy", "safe", "--ranker", "fusion", "--json")
    while code and time.monotonic() < end:  # what the second search closed is settled with the next snapshot
        time.sleep(0.1)
        code, out, err = call("evaluate", "--policy", "safe", "--ranker", "fusion", "--json")
    assert code == 0, err
    assert [one["name"] for one in json.loads(out)["targets"]] == ["safe", "fusion"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "x", "--page-size", "1000"], "--page-size"),
        (["search", "x" * 3_000], "query"),
        (["search", "a\x00b"], "query"),
        (["search", "x", "--filter", "year"], "--filter"),
        (["search", "x", "--policy", "nonsense"], "policy"),
        (["suggest", "x", "--limit", "99"], "limit"),
        (["serach", "x"], "No such command"),
        (["decisions", "export", "--since", "soon"], "--since"),
        (["index", "nowhere.jsonl"], "nowhere.jsonl"),
        (["evaluate", "--policy", "nonsense"], "policy"),
        (["evaluate", "--log", "nowhere.jsonl"], "--log"),
    ],
)
def test_a_user_error_is_one_line_and_exit_code_2(call: Call, arguments: list[str], told: str) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("honeyguide: ")
    assert told in err
    assert len(err.splitlines()) == 1


def test_nothing_running_says_how_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for option, value in (("--data-dir", str(tmp_path)), ("--target", "127.0.0.1:1")):
        monkeypatch.setattr(sys, "argv", ["honeyguide", "search", "x", option, value])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert "honeyguide up" in err
        assert len(err.splitlines()) == 1


def test_a_second_one_over_the_same_folder_is_refused(call: Call) -> None:
    code, _, err = call("up", "--port", "0")
    assert code == 2
    assert "in use" in err


def test_a_killed_service_comes_back_on_its_port(up: Up, call: Call) -> None:
    lexical = next(pid for pid in up.children() if b"honeyguide_lexical" in command_line(pid))
    os.kill(lexical, signal.SIGKILL)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        back = [pid for pid in up.children() if b"honeyguide_lexical" in command_line(pid) and pid != lexical]
        code, out, err = call("search", "godfather", "--json")
        if back and code == 0 and "f2" in ids(out):
            return
        assert code == 0 or (code == 2 and len(err.splitlines()) == 1)  # without its documents, or with less
        time.sleep(0.2)
    pytest.fail("lexical did not come back")


def test_ctrl_c_ends_everything_and_a_later_start_has_it_all(up: Up, call: Call) -> None:
    children = up.children()
    assert len(children) == 6
    said = up.end(signal.SIGINT)
    assert up.process.returncode == 0, said
    assert "stopped" in said
    assert not any(alive(pid) for pid in children)
    assert read_running(up.data_dir) is None

    again = Up(up.data_dir)
    assert "f1" in found(call, "jurassic park")
    children = again.children()
    again.end(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in children), "children end with a killed parent"


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
