from collegium.v1 import node_pb2 as _node_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrusteeStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TrusteeStatus(_message.Message):
    __slots__ = ("name", "version", "registry_size", "key", "key_receipt")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    registry_size: int
    key: bytes
    key_receipt: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., registry_size: _Optional[int] = ..., key: _Optional[bytes] = ..., key_receipt: _Optional[bytes] = ...) -> None: ...

class BeginRequest(_message.Message):
    __slots__ = ("plan", "plan_receipt", "roster", "registry_checkpoint", "request")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PLAN_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    plan: bytes
    plan_receipt: bytes
    roster: bytes
    registry_checkpoint: bytes
    request: bytes
    def __init__(self, plan: _Optional[bytes] = ..., plan_receipt: _Optional[bytes] = ..., roster: _Optional[bytes] = ..., registry_checkpoint: _Optional[bytes] = ..., request: _Optional[bytes] = ...) -> None: ...

class BeginReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Submission(_message.Message):
    __slots__ = ("submit", "sealed")
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    submit: bytes
    sealed: bytes
    def __init__(self, submit: _Optional[bytes] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class PrepareRequest(_message.Message):
    __slots__ = ("plan", "submissions", "last")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUBMISSIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    plan: str
    submissions: _containers.RepeatedCompositeFieldContainer[Submission]
    last: bool
    def __init__(self, plan: _Optional[str] = ..., submissions: _Optional[_Iterable[_Union[Submission, _Mapping]]] = ..., last: _Optional[bool] = ...) -> None: ...

class PrepareReply(_message.Message):
    __slots__ = ("prepare", "prepare_receipt", "prepared")
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    PREPARE_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    prepare: bytes
    prepare_receipt: bytes
    prepared: bytes
    def __init__(self, prepare: _Optional[bytes] = ..., prepare_receipt: _Optional[bytes] = ..., prepared: _Optional[bytes] = ...) -> None: ...

class UnmaskRequest(_message.Message):
    __slots__ = ("plan", "close", "close_receipt", "participants", "prepares", "prepared")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    PREPARES_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    plan: str
    close: bytes
    close_receipt: bytes
    participants: bytes
    prepares: _containers.RepeatedScalarFieldContainer[bytes]
    prepared: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan: _Optional[str] = ..., close: _Optional[bytes] = ..., close_receipt: _Optional[bytes] = ..., participants: _Optional[bytes] = ..., prepares: _Optional[_Iterable[bytes]] = ..., prepared: _Optional[_Iterable[bytes]] = ...) -> None: ...

class UnmaskReply(_message.Message):
    __slots__ = ("unmask", "unmask_receipt", "masks")
    UNMASK_FIELD_NUMBER: _ClassVar[int]
    UNMASK_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    unmask: bytes
    unmask_receipt: bytes
    masks: bytes
    def __init__(self, unmask: _Optional[bytes] = ..., unmask_receipt: _Optional[bytes] = ..., masks: _Optional[bytes] = ...) -> None: ...

class RecomputeRequest(_message.Message):
    __slots__ = ("plan", "first", "vectors", "unmasks", "masks")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    UNMASKS_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    plan: str
    first: int
    vectors: _containers.RepeatedScalarFieldContainer[bytes]
    unmasks: _containers.RepeatedScalarFieldContainer[bytes]
    masks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, plan: _Optional[str] = ..., first: _Optional[int] = ..., vectors: _Optional[_Iterable[bytes]] = ..., unmasks: _Optional[_Iterable[bytes]] = ..., masks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RecomputeReply(_message.Message):
    __slots__ = ("next", "check", "check_receipt", "total")
    NEXT_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    CHECK_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    next: int
    check: bytes
    check_receipt: bytes
    total: bytes
    def __init__(self, next: _Optional[int] = ..., check: _Optional[bytes] = ..., check_receipt: _Optional[bytes] = ..., total: _Optional[bytes] = ...) -> None: ...
