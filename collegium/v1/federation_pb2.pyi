from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegistryRequest(_message.Message):
    __slots__ = ("first",)
    FIRST_FIELD_NUMBER: _ClassVar[int]
    first: int
    def __init__(self, first: _Optional[int] = ...) -> None: ...

class RegistryReply(_message.Message):
    __slots__ = ("first", "entries", "checkpoint", "more")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    first: int
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: bytes
    more: bool
    def __init__(self, first: _Optional[int] = ..., entries: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class NodesRequest(_message.Message):
    __slots__ = ("brief",)
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    brief: bool
    def __init__(self, brief: _Optional[bool] = ...) -> None: ...

class NodesReply(_message.Message):
    __slots__ = ("nodes", "trustees")
    NODES_FIELD_NUMBER: _ClassVar[int]
    TRUSTEES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeLine]
    trustees: _containers.RepeatedCompositeFieldContainer[TrusteeLine]
    def __init__(self, nodes: _Optional[_Iterable[_Union[NodeLine, _Mapping]]] = ..., trustees: _Optional[_Iterable[_Union[TrusteeLine, _Mapping]]] = ...) -> None: ...

class NodeLine(_message.Message):
    __slots__ = ("name", "facts", "enrolment", "connected", "last_seen", "status")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    facts: _containers.ScalarMap[str, str]
    enrolment: int
    connected: bool
    last_seen: int
    status: NodeStatusLine
    def __init__(self, name: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., enrolment: _Optional[int] = ..., connected: _Optional[bool] = ..., last_seen: _Optional[int] = ..., status: _Optional[_Union[NodeStatusLine, _Mapping]] = ...) -> None: ...

class NodeStatusLine(_message.Message):
    __slots__ = ("version", "snapshot", "datasets", "registry_size", "policy")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    version: str
    snapshot: str
    datasets: _containers.RepeatedScalarFieldContainer[str]
    registry_size: int
    policy: bytes
    def __init__(self, version: _Optional[str] = ..., snapshot: _Optional[str] = ..., datasets: _Optional[_Iterable[str]] = ..., registry_size: _Optional[int] = ..., policy: _Optional[bytes] = ...) -> None: ...

class TrusteeLine(_message.Message):
    __slots__ = ("name", "connected", "last_seen", "version", "registry_size", "key_until")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    KEY_UNTIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    connected: bool
    last_seen: int
    version: str
    registry_size: int
    key_until: int
    def __init__(self, name: _Optional[str] = ..., connected: _Optional[bool] = ..., last_seen: _Optional[int] = ..., version: _Optional[str] = ..., registry_size: _Optional[int] = ..., key_until: _Optional[int] = ...) -> None: ...

class AskRequest(_message.Message):
    __slots__ = ("request", "details")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    details: bytes
    def __init__(self, request: _Optional[bytes] = ..., details: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("request_id", "asked", "released", "refused", "held", "missing", "done")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    asked: int
    released: int
    refused: int
    held: int
    missing: int
    done: bool
    def __init__(self, request_id: _Optional[str] = ..., asked: _Optional[int] = ..., released: _Optional[int] = ..., refused: _Optional[int] = ..., held: _Optional[int] = ..., missing: _Optional[int] = ..., done: _Optional[bool] = ...) -> None: ...

class ResultRequest(_message.Message):
    __slots__ = ("request_id", "refresh", "wait_seconds")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    refresh: bool
    wait_seconds: float
    def __init__(self, request_id: _Optional[str] = ..., refresh: _Optional[bool] = ..., wait_seconds: _Optional[float] = ...) -> None: ...

class ResultPart(_message.Message):
    __slots__ = ("request", "indicator", "decision", "release", "blob", "withdrawal", "progress", "receipt", "statement")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INDICATOR_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    indicator: bytes
    decision: bytes
    release: bytes
    blob: bytes
    withdrawal: bytes
    progress: Progress
    receipt: StatementReceipt
    statement: bytes
    def __init__(self, request: _Optional[bytes] = ..., indicator: _Optional[bytes] = ..., decision: _Optional[bytes] = ..., release: _Optional[bytes] = ..., blob: _Optional[bytes] = ..., withdrawal: _Optional[bytes] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., receipt: _Optional[_Union[StatementReceipt, _Mapping]] = ..., statement: _Optional[bytes] = ...) -> None: ...

class StatementReceipt(_message.Message):
    __slots__ = ("statement", "proof")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    statement: str
    proof: bytes
    def __init__(self, statement: _Optional[str] = ..., proof: _Optional[bytes] = ...) -> None: ...

class RequestsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class RequestsReply(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RequestLine]
    def __init__(self, requests: _Optional[_Iterable[_Union[RequestLine, _Mapping]]] = ...) -> None: ...

class RequestLine(_message.Message):
    __slots__ = ("request_id", "time", "purpose", "progress")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    time: int
    purpose: str
    progress: Progress
    def __init__(self, request_id: _Optional[str] = ..., time: _Optional[int] = ..., purpose: _Optional[str] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...
