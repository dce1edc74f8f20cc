"""Settings: parsed once, in `__main__`, from the environment; frozen; each with unit, default and range."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PEM_BEGIN = b"-----BEGIN "
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


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

    @field_validator("tls_certificate", "tls_key", "tls_ca")
    @classmethod
    def _tls_can_be_read(cls, path: Path | None) -> Path | None:
        try:
            is_pem = path is None or PEM_BEGIN in path.read_bytes()
        except OSError as error:
            raise ValueError(f"a PEM file is wanted that can be read ({error.strerror})") from error
        if not is_pem:
            raise ValueError("a PEM file is wanted, with -----BEGIN lines")
        return path

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("HONEYGUIDE_TLS_CERTIFICATE and HONEYGUIDE_TLS_KEY go together: one of them is not set")
        if self.tls_client_required and not (self.tls_ca and self.tls_certificate):
            raise ValueError("HONEYGUIDE_TLS_CLIENT_REQUIRED needs HONEYGUIDE_TLS_CERTIFICATE, _KEY and _CA")
        return self


class ServerSettings(BaseSettings):
    """Where one service listens; subclasses set the prefix, for example HONEYGUIDE_LEXICAL_."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65_535, description="TCP port; 0 = any free one, printed at start")
    metrics_port: int | None = Field(None, ge=0, le=65_535, description="port of Prometheus metrics over HTTP")


class ReplicatedSettings(ServerSettings):
    """Of a service that keeps the catalogue on its own disk, and may follow another instance of itself."""

    primary: str | None = Field(
        None,
        min_length=1,
        description="host:port of the instance that takes changes in and is to be followed; unset, or the own host and"
        " port = this one takes them in",
    )

    @property
    def followed(self) -> str | None:
        """Address of the primary, None = this is it."""
        host, _, port = (self.primary or "").rpartition("/")[2].removeprefix("ipv4:").rpartition(":")
        own = socket.gethostname()
        # In a cluster, lexical-0 is known to others as lexical-0.lexical.
        is_own = host in (self.host, *LOOPBACK, own) or ("." not in own and host.partition(".")[0] == own)
        return None if is_own and port == str(self.port) else self.primary


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S], **overrides: object) -> S:
    """Reads settings; a wrong one ends the process with one line an error and exit code 2."""
    try:
        return settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        for problem in error.errors():
            print(_line(settings, problem), file=sys.stderr)
        raise SystemExit(2) from None
    except SettingsError as error:
        print(f"{settings.__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def variables_of(settings: type[BaseSettings]) -> dict[str, tuple[str, ...]]:
    """The environment variables that each field is read from, first that which counts most."""
    prefix = settings.model_config.get("env_prefix", "")
    variables = {}
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            # Beside variables, choices hold the name by which the field is passed in code.
            variables[name] = tuple(str(choice) for choice in alias.choices if choice != name)
        else:
            variables[name] = (alias if isinstance(alias, str) else f"{prefix}{name}".upper(),)
    return variables


def _line(settings: type[BaseSettings], problem: Any) -> str:
    """What is wrong with one setting, by the variable that holds it and, where it is nested, the place within."""
    cause = problem.get("ctx", {}).get("error")  # of a validator of ours: its text without pydantic's "Value error, "
    said = str(cause) if isinstance(cause, ValueError) else problem["msg"]
    if not problem["loc"]:
        return said  # names the settings itself; the input is all of them, secrets among them
    first, *within = (str(part) for part in problem["loc"])
    field = settings.model_fields.get(first)  # None: the variable itself, of a field that has several
    where = ": ".join([variables_of(settings)[first][0] if field else first, *([".".join(within)] if within else [])])
    if problem["type"] == "missing":  # its input is all that is there
        return f"{where}: is needed" + (f" ({field.description})" if field and not within else "")
    if problem["type"] == "model_type" and isinstance(problem["input"], str):
        # pydantic-settings hands on as it is what it can't parse.
        return f"{where}: {_json_fault(problem['input'])}: {problem['input']!r}"
    return f"{where}: {said}, not {problem['input']!r}"


def _json_fault(text: str) -> str:
    """Why a text is not the JSON of an object."""
    try:
        json.loads(text)
    except ValueError as error:
        return f"is not JSON ({error})"
    return "is not a JSON object"
