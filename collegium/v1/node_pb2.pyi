from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("name", "version", "registry_size", "schema", "datasets", "snapshot", "policy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    registry_size: int
    schema: str
    datasets: _containers.RepeatedScalarFieldContainer[str]
    snapshot: str
    policy: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., registry_size: _Optional[int] = ..., schema: _Optional[str] = ..., datasets: _Optional[_Iterable[str]] = ..., snapshot: _Optional[str] = ..., policy: _Optional[bytes] = ...) -> None: ...

class LearnRequest(_message.Message):
    __slots__ = ("first", "entries", "checkpoint")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    first: int
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: bytes
    def __init__(self, first: _Optional[int] = ..., entries: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class LearnReply(_message.Message):
    __slots__ = ("registry_size",)
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    registry_size: int
    def __init__(self, registry_size: _Optional[int] = ...) -> None: ...

class AnswerRequest(_message.Message):
    __slots__ = ("request", "details", "receipt")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    details: bytes
    receipt: bytes
    def __init__(self, request: _Optional[bytes] = ..., details: _Optional[bytes] = ..., receipt: _Optional[bytes] = ...) -> None: ...

class AnswerReply(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[QuestionAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[QuestionAnswer, _Mapping]]] = ...) -> None: ...

class QuestionAnswer(_message.Message):
    __slots__ = ("verdict", "reason", "decision", "release", "payload", "withdrawals", "decision_receipt", "release_receipt")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[QuestionAnswer.Verdict]
        RELEASED: _ClassVar[QuestionAnswer.Verdict]
        REFUSED: _ClassVar[QuestionAnswer.Verdict]
        HELD: _ClassVar[QuestionAnswer.Verdict]
        FAILED: _ClassVar[QuestionAnswer.Verdict]
        READY: _ClassVar[QuestionAnswer.Verdict]
    VERDICT_UNSPECIFIED: QuestionAnswer.Verdict
    RELEASED: QuestionAnswer.Verdict
    REFUSED: QuestionAnswer.Verdict
    HELD: QuestionAnswer.Verdict
    FAILED: QuestionAnswer.Verdict
    READY: QuestionAnswer.Verdict
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWALS_FIELD_NUMBER: _ClassVar[int]
    DECISION_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    verdict: QuestionAnswer.Verdict
    reason: str
    decision: bytes
    release: bytes
    payload: bytes
    withdrawals: _containers.RepeatedScalarFieldContainer[bytes]
    decision_receipt: bytes
    release_receipt: bytes
    def __init__(self, verdict: _Optional[_Union[QuestionAnswer.Verdict, str]] = ..., reason: _Optional[str] = ..., decision: _Optional[bytes] = ..., release: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., withdrawals: _Optional[_Iterable[bytes]] = ..., decision_receipt: _Optional[bytes] = ..., release_receipt: _Optional[bytes] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("request", "details", "receipt", "plan", "plan_receipt", "chosen", "registry_checkpoint", "keys")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PLAN_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    details: bytes
    receipt: bytes
    plan: bytes
    plan_receipt: bytes
    chosen: bytes
    registry_checkpoint: bytes
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, request: _Optional[bytes] = ..., details: _Optional[bytes] = ..., receipt: _Optional[bytes] = ..., plan: _Optional[bytes] = ..., plan_receipt: _Optional[bytes] = ..., chosen: _Optional[bytes] = ..., registry_checkpoint: _Optional[bytes] = ..., keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SubmitReply(_message.Message):
    __slots__ = ("verdict", "reason", "decision", "decision_receipt", "submit", "submit_receipt", "sealed", "vector")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DECISION_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    verdict: QuestionAnswer.Verdict
    reason: str
    decision: bytes
    decision_receipt: bytes
    submit: bytes
    submit_receipt: bytes
    sealed: _containers.RepeatedScalarFieldContainer[bytes]
    vector: bytes
    def __init__(self, verdict: _Optional[_Union[QuestionAnswer.Verdict, str]] = ..., reason: _Optional[str] = ..., decision: _Optional[bytes] = ..., decision_receipt: _Optional[bytes] = ..., submit: _Optional[bytes] = ..., submit_receipt: _Optional[bytes] = ..., sealed: _Optional[_Iterable[bytes]] = ..., vector: _Optional[bytes] = ...) -> None: ...

class ClosedRequest(_message.Message):
    __slots__ = ("plan", "submit_receipt", "close", "close_receipt", "participants")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    plan: str
    submit_receipt: bytes
    close: bytes
    close_receipt: bytes
    participants: bytes
    def __init__(self, plan: _Optional[str] = ..., submit_receipt: _Optional[bytes] = ..., close: _Optional[bytes] = ..., close_receipt: _Optional[bytes] = ..., participants: _Optional[bytes] = ...) -> None: ...

class ClosedReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
