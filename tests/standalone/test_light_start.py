"""Commands that only call a system start without what learns, draws or simulates."""

from __future__ import annotations

import subprocess
import sys

import pytest

from honeyguide_orchestrator.off_policy.estimators import ESTIMATORS

HEAVY = ("scipy", "river", "lightgbm", "matplotlib", "redis", "valkey", "tantivy", "onnxruntime", "usearch", "numba")


def test_the_command_imports_nothing_heavy() -> None:
    program = f"import sys, honeyguide_standalone.command; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_the_help_of_evaluate_names_the_estimators(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from honeyguide_standalone import command

    monkeypatch.setattr(sys, "argv", ["honeyguide", "evaluate", "--help"])
    with pytest.raises(SystemExit):
        command.main()
    *most, last = ESTIMATORS
    assert f"{', '.join(most)} or {last}" in " ".join(capsys.readouterr().out.replace("│", " ").split())
