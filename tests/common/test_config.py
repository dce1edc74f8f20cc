"""Settings: from the environment, and a wrong one is one clear line."""

from __future__ import annotations

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import SettingsConfigDict

from honeyguide.config import CommonSettings, ServerSettings, load, variables_of


class Frame(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cells: int = Field(ge=1)
    queen: bool


class HiveSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_HIVE_", frozen=True, extra="ignore")

    frames: dict[str, int] = Field({}, description="frames by name")
    url: str = Field("", pattern="^redis", validate_default=False, validation_alias="HONEYGUIDE_REDIS_URL")
    first: Frame | None = Field(None, description="the first frame")
    depths: tuple[int, ...] = Field((1,), description="ascending")

    @field_validator("depths")
    @classmethod
    def _ascending(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if list(depths) != sorted(depths):
            raise ValueError("must ascend")
        return depths


class PicksSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_PICKS_", frozen=True, extra="ignore")

    file: str = Field(description="what is picked from")
    url: str = Field("", validation_alias=AliasChoices("HONEYGUIDE_PICKS_URL", "HONEYGUIDE_REDIS_URL", "url"))


def test_reads_the_environment(monkeypatch):
    monkeypatch.setenv("HONEYGUIDE_HIVE_PORT", "50099")
    monkeypatch.setenv("HONEYGUIDE_HIVE_FRAMES", '{"brood": 3}')
    settings = load(HiveSettings)
    assert (settings.port, settings.host, settings.frames) == (50099, "127.0.0.1", {"brood": 3})
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("type", "variable", "value", "said"),
    [
        (HiveSettings, "HONEYGUIDE_HIVE_PORT", "many", "HONEYGUIDE_HIVE_PORT: Input should be a valid integer"),
        (HiveSettings, "HONEYGUIDE_HIVE_PORT", "65536", "HONEYGUIDE_HIVE_PORT: Input should be less than or equal"),
        (HiveSettings, "HONEYGUIDE_HIVE_FRAMES", "{", 'HiveSettings: error parsing value for field "frames"'),
        (HiveSettings, "HONEYGUIDE_REDIS_URL", "http://", "HONEYGUIDE_REDIS_URL: String should match pattern"),
        (CommonSettings, "HONEYGUIDE_LOG_LEVEL", "loud", "HONEYGUIDE_LOG_LEVEL: Input should be 'debug'"),
        (CommonSettings, "HONEYGUIDE_DRAIN_S", "-1", "HONEYGUIDE_DRAIN_S: Input should be greater than or equal to 0"),
        (CommonSettings, "HONEYGUIDE_TLS_KEY", "gone", "HONEYGUIDE_TLS_KEY: a PEM file is wanted that can be read"),
        (CommonSettings, "HONEYGUIDE_TLS_CA", "/dev", "HONEYGUIDE_TLS_CA: a PEM file is wanted that can be read"),
        (CommonSettings, "HONEYGUIDE_TLS_CA", "/dev/null", "HONEYGUIDE_TLS_CA: a PEM file is wanted, with"),
        (CommonSettings, "HONEYGUIDE_TLS_CLIENT_REQUIRED", "true", "HONEYGUIDE_TLS_CLIENT_REQUIRED needs"),
        (HiveSettings, "HONEYGUIDE_HIVE_DEPTHS", "[2, 1]", "HONEYGUIDE_HIVE_DEPTHS: must ascend, not [2, 1]"),
        (
            HiveSettings,
            "HONEYGUIDE_HIVE_FIRST",
            '{"cells": 0, "queen": true}',
            "HONEYGUIDE_HIVE_FIRST: cells: Input should be greater than or equal to 1, not 0",
        ),
        (
            HiveSettings,
            "HONEYGUIDE_HIVE_FIRST",
            '{"cells":',
            "HONEYGUIDE_HIVE_FIRST: is not JSON (Expecting value: line 1 column 10 (char 9)): '{\"cells\":'\n",
        ),
        (HiveSettings, "HONEYGUIDE_HIVE_FIRST", '"\\"\\""', "HONEYGUIDE_HIVE_FIRST: is not a JSON object: "),
        (HiveSettings, "HONEYGUIDE_HIVE_FIRST", '{"cells": 1}', "HONEYGUIDE_HIVE_FIRST: queen: is needed\n"),
        (PicksSettings, "HONEYGUIDE_PICKS_PORT", "1", "HONEYGUIDE_PICKS_FILE: is needed (what is picked from)\n"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(monkeypatch, capsys, type, variable, value, said):
    monkeypatch.setenv("HONEYGUIDE_TOKEN", "pollen")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        load(type)
    written = capsys.readouterr().err
    assert caught.value.code == 2
    assert len(written.splitlines()) == 1
    assert written.startswith(said)
    assert "pollen" not in written


def test_a_certificate_needs_its_key(monkeypatch, capsys, tmp_path):
    (tmp_path / "a.pem").write_text("-----BEGIN CERTIFICATE-----")
    monkeypatch.setenv("HONEYGUIDE_TLS_CERTIFICATE", str(tmp_path / "a.pem"))
    with pytest.raises(SystemExit):
        load(CommonSettings)
    assert capsys.readouterr().err.startswith("HONEYGUIDE_TLS_CERTIFICATE and HONEYGUIDE_TLS_KEY go together")


def test_each_wrong_value_has_its_line(monkeypatch, capsys):
    monkeypatch.setenv("HONEYGUIDE_DRAIN_S", "soon")
    monkeypatch.setenv("HONEYGUIDE_LOG_FORMAT", "xml")
    with pytest.raises(SystemExit):
        load(CommonSettings)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_variables_of_a_field() -> None:
    variables = variables_of(PicksSettings)
    assert variables["port"] == ("HONEYGUIDE_PICKS_PORT",)
    assert variables["url"] == ("HONEYGUIDE_PICKS_URL", "HONEYGUIDE_REDIS_URL")
