"""One tree of errors on both sides of a connection."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from honeyguide.errors import (
    BY_CODE,
    DeadlineExceeded,
    FieldViolation,
    HoneyguideError,
    InvalidArgument,
    NotFound,
    Unavailable,
    as_honeyguide_error,
    from_status,
    to_status,
)


@pytest.mark.parametrize("type", list(BY_CODE.values()))
def test_round_trip(type):
    status = to_status(type("what went wrong"))
    assert code_pb2.Code.Name(status.code) == type.code.name
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (type.reason, "honeyguide")
    back = from_status(type.code, status.message, status.details)
    assert (back.__class__, back.message, str(back)) == (type, "what went wrong", "what went wrong")


def test_bad_input_keeps_every_field():
    error = InvalidArgument("title", "too long", FieldViolation("id", "missing"))
    back = from_status(error.code, error.message, to_status(error).details)
    assert isinstance(back, InvalidArgument)
    assert back.violations == (FieldViolation("title", "too long"), FieldViolation("id", "missing"))
    assert back.message == error.message == "title: too long; id: missing"


def test_bad_input_without_details():
    back = from_status(grpc.StatusCode.INVALID_ARGUMENT, "no")
    assert isinstance(back, InvalidArgument)
    assert back.violations == (FieldViolation("request", "no"),)


def test_a_code_of_others_is_the_root():
    assert type(from_status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")) is HoneyguideError


def test_a_status_is_bounded_and_always_utf8():
    violations = [FieldViolation("f" * 10_000, "\udcff" + "漢" * 10_000)] * 1_000
    status = to_status(InvalidArgument("\ud800", "𝄞" * 10_000, *violations))
    assert status.ByteSize() < 5_000
    assert status.message.startswith("?: 𝄞")
    assert status.message.endswith("…")


def test_other_exceptions():
    assert isinstance(as_honeyguide_error(TimeoutError(), "here"), DeadlineExceeded)
    assert isinstance(as_honeyguide_error(ConnectionRefusedError("no"), "here"), Unavailable)
    known = NotFound("x")
    assert as_honeyguide_error(known, "here") is known
    assert (
        as_honeyguide_error(ValueError("secret"), "here").message == "ValueError in here; the service's log says more"
    )
