"""What of an error leaves the process, and what is made of a status that arrives."""

from __future__ import annotations

import json

import grpc
import pytest

from collegium.errors import PUBLIC_TEXTS, RULES, CollegiumError, Failed, Invalid, NotReleased, NotVerified, Offline, Refused
from collegium.transport.status import UNEXPECTED, TunnelError, from_rpc, from_status, to_public_status, to_status

ALL = [Invalid, NotVerified, NotReleased, Offline, Failed]


@pytest.mark.parametrize("error_type", ALL)
def test_every_error_arrives_as_it_was(error_type: type[CollegiumError]) -> None:
    error = error_type("text 毕业生", place="line 3", remedy="Do “this”.", reason="schema")
    status = to_status(error)
    arrived = from_status(status.code, status.details)
    assert type(arrived) is error_type
    assert str(arrived) == str(error)
    assert (arrived.text, arrived.place, arrived.remedy, arrived.reason) == (error.text, error.place, error.remedy, error.reason)
    assert status.grpc.name == next(rule.grpc_status for rule in RULES if rule.error is error_type)
    assert status.details.isascii()  # gRPC escapes the rest, threefold


@pytest.mark.parametrize("by", ["policy", "budget", "schema", "identity"])
def test_a_refusal_keeps_its_rule(by: str) -> None:
    arrived = from_rpc(TunnelError(*to_status(Refused("no", by=by, reason="too-costly"))))
    assert isinstance(arrived, Refused)
    assert (arrived.by, arrived.reason) == (by, "too-costly")


@pytest.mark.parametrize(
    "error", [ValueError("CANARY"), KeyError("CANARY"), MemoryError("CANARY"), ExceptionGroup("CANARY", [ValueError()])]
)
def test_a_surprise_leaves_as_a_constant(error: Exception) -> None:
    assert to_status(error) == to_public_status(error) == UNEXPECTED
    assert "CANARY" not in UNEXPECTED.details


def test_a_node_says_only_what_the_public_table_says() -> None:
    error = Refused("CANARY text", by="budget", place="CANARY place", remedy="CANARY remedy", reason="budget-period")
    status = to_public_status(error)
    assert "CANARY" not in status.details
    arrived = from_status(status.code, status.details)
    assert isinstance(arrived, Refused)
    assert (arrived.by, arrived.text) == ("budget", PUBLIC_TEXTS["budget-period"])


@pytest.mark.parametrize("reason", ["", "CANARY", "a-reason-of-a-newer-version"])
@pytest.mark.parametrize("error_type", ALL)
def test_a_reason_outside_the_table_does_not_leave_a_node(error_type: type[CollegiumError], reason: str) -> None:
    assert to_public_status(error_type("CANARY", reason=reason)) == UNEXPECTED


def test_long_texts_are_capped_when_they_leave() -> None:
    error = Invalid("t" * 10**6, place="p" * 10**6, remedy="r" * 10**6, reason="x" * 10**6)
    assert len(to_status(error).details) < 2_500
    assert (
        len(to_status(Invalid("毕" * 10**6, place="业" * 10**6, remedy="生" * 10**6)).details) < 12_000
    )  # below the bound of headers


HOSTILE = {
    "nothing": "",
    "other text": "Stream removed",
    "not quite JSON": '{"kind":"refused"',
    "a list": "[1]",
    "numbers for texts": '{"kind":1,"text":2,"by":3,"reason":null,"place":[],"remedy":{}}',
    "an unknown kind": '{"kind":"__class__","text":"x"}',
    "deep nesting": "{" * 5_000,
    "deep nesting inside": '{"kind":' + "[" * 10_000 + "]" * 10_000 + "}",
    "very long": '{"kind":"failed","text":"' + "x" * 10**6 + '"}',
    "terminal codes": '{"kind":"failed","text":"\\u001b[2Jgone\\n\\u0007\\u202e"}',
    "terminal codes outside JSON": "\x1b[2Jgone\n",
}


@pytest.mark.parametrize("details", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("code", [*(status.value[0] for status in grpc.StatusCode), 17, 2**32 - 1])
def test_whatever_arrives_becomes_one_printable_error(code: int, details: str) -> None:
    error = from_status(code, details)
    assert isinstance(error, CollegiumError)
    assert str(error).isprintable()
    assert len(str(error)) < 2_500
    assert error.text


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "ABORTED", "DATA_LOSS", "NOT_FOUND"])
def test_a_failure_of_the_transport_can_be_told_from_another_and_unknown_text_stays_away(code: str) -> None:
    number = grpc.StatusCode[code].value[0]
    error = from_status(number, "CANARY: received rst_stream with error code 2, then Stream removed CANARY")
    assert isinstance(error, Failed)
    assert error.reason == "failed"
    assert f"(gRPC {code}: RST_STREAM, Stream removed)" in error.text
    assert "CANARY" not in str(error)
    assert from_status(number, "CANARY").text.endswith(f"(gRPC {code})")


def test_an_unknown_rule_does_not_arrive() -> None:
    error = from_status(7, json.dumps({"kind": "refused", "text": "x", "by": "CANARY"}))
    assert isinstance(error, Refused)
    assert error.by in ("policy", "budget", "schema", "identity")


@pytest.mark.parametrize(
    ("code", "error_type"),
    [
        ("UNAVAILABLE", Offline),
        ("DEADLINE_EXCEEDED", Offline),
        ("CANCELLED", Offline),
        ("UNIMPLEMENTED", Failed),
        ("RESOURCE_EXHAUSTED", Invalid),
        ("INVALID_ARGUMENT", Invalid),
        ("FAILED_PRECONDITION", NotReleased),
        ("PERMISSION_DENIED", Refused),
        ("UNAUTHENTICATED", NotVerified),
        ("INTERNAL", Failed),
        ("UNKNOWN", Failed),
    ],
)
def test_statuses_of_grpc_itself_have_an_error_each(code: str, error_type: type[CollegiumError]) -> None:
    error = from_status(grpc.StatusCode[code].value[0], "from gRPC", place="coordinator.example:7443")
    assert type(error) is error_type
    assert error.place == "coordinator.example:7443"
