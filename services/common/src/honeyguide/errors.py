"""What can go wrong, and what each of it is on the wire.

Services raise these; `honeyguide.server` turns them into `google.rpc.Status` with `ErrorInfo` and, for bad input,
`BadRequest` details; `honeyguide.client` turns a status back into the same exception. So code on either side of a
connection, remote or in process, handles one tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "honeyguide"


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


def to_status(error: HoneyguideError) -> status_pb2.Status:
    """Writes an error as `google.rpc.Status` with its details."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    packed = []
    if isinstance(error, InvalidArgument):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(field=violation.field, description=violation.description)
        packed.append(_pack(bad_request))
    packed.extend(_pack(detail) for detail in details)
    code = code_pb2.Code.Value(error.code.name)
    return status_pb2.Status(code=code, message=error.message, details=packed)


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
