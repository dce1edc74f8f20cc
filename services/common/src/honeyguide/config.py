"""Settings: parsed once, in `__main__`, from the environment; frozen; each with unit, default and range."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class CommonSettings(BaseSettings):
    """What all services share; read from HONEYGUIDE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_", frozen=True, extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line logged")
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people")
    drain_s: float = Field(10.0, ge=0, le=600, description="seconds that running calls get to finish at shutdown")
    message_bytes_max: int = Field(4 * 2**20, ge=2**16, le=2**28, description="largest message taken or sent, in bytes")
    connection_age_s: float = Field(
        600.0, ge=1, le=86_400, description="age in seconds at which a client must connect anew, and finds new replicas"
    )
    token: SecretStr | None = Field(None, description="bearer token that calls must carry, and that calls sent carry")
    tls_certificate: Path | None = Field(None, description="PEM file with the server's certificate chain")
    tls_key: Path | None = Field(None, description="PEM file with the server's private key")
    tls_ca: Path | None = Field(None, description="PEM file with the authorities trusted for peers")
    tls_client_required: bool = Field(False, description="true: clients must show a certificate signed by tls_ca")
    trace: bool = Field(False, description="true: OpenTelemetry spans, sent as OTEL_EXPORTER_OTLP_ENDPOINT says")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS_CERTIFICATE and TLS_KEY go together: one of them is not set")
        if self.tls_client_required and not (self.tls_ca and self.tls_certificate):
            raise ValueError("TLS_CLIENT_REQUIRED needs TLS_CERTIFICATE, TLS_KEY and TLS_CA")
        return self


class ServerSettings(BaseSettings):
    """Where one service listens; subclasses set the prefix, for example HONEYGUIDE_LEXICAL_."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65_535, description="TCP port; 0 = any free one, printed at start")
    metrics_port: int | None = Field(None, ge=0, le=65_535, description="port of Prometheus metrics over HTTP")


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S], **overrides: object) -> S:
    """Reads settings; a wrong one ends the process with one line an error and exit code 2."""
    try:
        return settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"])
            # Without a name the input is all settings, secrets among them.
            given = f", not {problem['input']!r}" if name else ""
            variable = name.upper() if name.upper().startswith("HONEYGUIDE_") else prefix + name.upper()
            print(f"{variable}: {problem['msg']}{given}", file=sys.stderr)
        raise SystemExit(2) from None
    except SettingsError as error:
        print(f"{settings.__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
