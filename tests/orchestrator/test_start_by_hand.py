"""`python -m honeyguide_orchestrator` with settings that are wrong: one line and exit code 2, before it connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide_orchestrator.__main__ import main


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POLICY", "best", "'best' is not one of "),
        ("RANKER", "fastest", "'fastest' is not one of "),
        ("EXPERIMENT", '{"name": "x", "a": {}, "b": {"policy": "best"}}', "'best' is not one of "),
        ("POLICY", "greedy", "retrievers"),  # the file is not there
    ],
)
def test_wrong_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["honeyguide_orchestrator"])
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE", str(tmp_path / "retrievers.yaml"))
    monkeypatch.setenv(f"HONEYGUIDE_ORCHESTRATOR_{name}", value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
