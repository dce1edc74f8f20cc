"""Settings: from the environment, and a wrong one is one clear line."""

from __future__ import annotations

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from honeyguide.config import CommonSettings, ServerSettings, load


class HiveSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_HIVE_", frozen=True, extra="ignore")

    frames: dict[str, int] = Field({}, description="frames by name")
    url: str = Field("", pattern="^redis", validate_default=False, validation_alias="HONEYGUIDE_REDIS_URL")


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
        (CommonSettings, "HONEYGUIDE_TLS_KEY", "a.key", "TLS_CERTIFICATE and TLS_KEY go together"),
        (CommonSettings, "HONEYGUIDE_TLS_CLIENT_REQUIRED", "true", "TLS_CLIENT_REQUIRED needs"),
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
    assert said in written
    assert "pollen" not in written


def test_each_wrong_value_has_its_line(monkeypatch, capsys):
    monkeypatch.setenv("HONEYGUIDE_DRAIN_S", "soon")
    monkeypatch.setenv("HONEYGUIDE_LOG_FORMAT", "xml")
    with pytest.raises(SystemExit):
        load(CommonSettings)
    assert len(capsys.readouterr().err.splitlines()) == 2
