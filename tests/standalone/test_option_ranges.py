"""Numbers beyond what is allowed: one line that says what is, exit code 2, before anything is called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from honeyguide_standalone import command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["search", "soup", "--page-size", "-1"],
            "'--page-size': Input should be greater than or equal to 1; 1 to 100 is allowed\n",
        ),
        (["search", "soup", "--page-size", "101"], "or equal to 100; 1 to 100 is allowed\n"),
        (
            ["suggest", "so", "--limit", "-1"],
            "'--limit': Input should be greater than or equal to 1; 1 to 50 is allowed\n",
        ),
        (["suggest", "so", "--limit", str(2**40)], "or equal to 50; 1 to 50 is allowed\n"),
        (
            ["decisions", "export", "--limit", str(2**64)],
            "'--limit': Input should be less than or equal to 1000000000; 0 to 1,000,",
        ),
        (
            ["evaluate", "--limit", str(2**64)],
            "'--limit': Input should be less than or equal to 1000000000; 0 to 1,000,",
        ),
        (["play", "1", "--seconds", "-1"], "'--seconds': Input should be greater than or equal to 0\n"),
        (["play", "1", "--seconds", "inf"], "--seconds: inf wanted; any number of 0 or more is allowed"),
        (["search", "soup", "--target", "localhost:99999"], "--target: 'localhost:99999' has a port that is none"),
        (["search", "soup", "--target", "localhost:0"], "1 to 65,535 is allowed"),
        (["stats", "--target", "dns:///localhost:165536"], "1 to 65,535 is allowed"),
        (["stats", "--target", "ipv4:127.0.0.1:1,127.0.0.1:" + "9" * 5_000], "1 to 65,535 is allowed"),
    ],
)
def test_a_number_out_of_range_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    told: str,
) -> None:
    target = [] if "--target" in arguments else ["--target", "127.0.0.1:1"]
    monkeypatch.setattr(sys, "argv", ["honeyguide", *arguments, *target, "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("target", ["localhost:65535", "[::1]:1", "[::1]", "unix:/tmp/99999:99999", "dns:///nowhere"])
def test_what_may_be_a_target_is_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["honeyguide", "stats", "--target", target, "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit):
        command.main()
    assert f"{target} does not answer" in capsys.readouterr().err
