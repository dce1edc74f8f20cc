"""What can go wrong, and what each of it is on the wire.

Services raise these; `honeyguide.server` turns them into `google.rpc.Status` with `ErrorInfo` and, for bad input,
`BadRequest` details; `honeyguide.client` turns a status back into the same exception. So code on either side of a
connection, remote or in process, handles one tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

log = structlog.get_logger("honeyguide.errors")

DOMAIN = "honeyguide"

# gRPC takes 8 KiB of metadata; the details travel there in base64, and the message once more, percent-encoded.
VIOLATIONS_MAX = 6
FIELD_BYTES_MAX = 100
DESCRIPTION_BYTES_MAX = 400
MESSAGE_BYTES_MAX = 500


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that was wrong: its name, and what was wrong with what is allowed."""

    field: str
    description: str


class HoneyguideError(Exception):
    """Root of the tree; on the wire INTERNAL unless a subclass says otherwise."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(HoneyguideError):
    """The request is wrong, whatever the state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str, *more: FieldViolation) -> None:
        self.violations: tuple[FieldViolation, ...] = (FieldViolation(field, description), *more)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))


class NotFound(HoneyguideError):
    """What was named is not there."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class FailedPrecondition(HoneyguideError):
    """The system is not in a state in which this can be done."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class ResourceExhausted(HoneyguideError):
    """A bound was reached; less, or later, may go through."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"


class Unauthenticated(HoneyguideError):
    """No valid token came with the call."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class Unavailable(HoneyguideError):
    """A part that is needed does not answer; try again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"


class DeadlineExceeded(HoneyguideError):
    """The time given was not enough."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


BY_CODE: dict[grpc.StatusCode, type[HoneyguideError]] = {
    error.code: error
    for error in (
        HoneyguideError,
        NotFound,
        FailedPrecondition,
        ResourceExhausted,
        Unauthenticated,
        Unavailable,
        DeadlineExceeded,
    )
}


def as_honeyguide_error(error: Exception, where: str) -> HoneyguideError:
    """Any exception as one of this tree. An unexpected one is logged with its traceback, and says only its kind."""
    if isinstance(error, HoneyguideError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"{where} did not finish in time")
    if isinstance(error, ConnectionError):
        return Unavailable(f"{where}: {error}")
    log.error("call failed", where=where, exc_info=error)
    return HoneyguideError(f"{type(error).__name__} in {where}; the service's log says more")


def to_status(error: HoneyguideError) -> status_pb2.Status:
    """Writes an error as `google.rpc.Status` with its details, cut to what fits into a call's trailing metadata."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    packed = []
    if isinstance(error, InvalidArgument):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations[:VIOLATIONS_MAX]:
            bad_request.field_violations.add(
                field=_cut(violation.field, FIELD_BYTES_MAX),
                description=_cut(violation.description, DESCRIPTION_BYTES_MAX),
            )
        packed.append(_pack(bad_request))
    packed.extend(_pack(detail) for detail in details)
    code = code_pb2.Code.Value(error.code.name)
    return status_pb2.Status(code=code, message=_cut(error.message, MESSAGE_BYTES_MAX), details=packed)


def from_status(code: grpc.StatusCode, message: str, details: Sequence[any_pb2.Any] = ()) -> HoneyguideError:
    """Reads an error back from a status and its details."""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        for detail in details:
            bad_request = error_details_pb2.BadRequest()
            if detail.Unpack(bad_request) and bad_request.field_violations:
                first, *more = (FieldViolation(v.field, v.description) for v in bad_request.field_violations)
                return InvalidArgument(first.field, first.description, *more)
        return InvalidArgument("request", message)
    return BY_CODE.get(code, HoneyguideError)(message)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _cut(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8; what can't be UTF-8 becomes a question mark."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"
