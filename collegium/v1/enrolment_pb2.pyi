from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("invitation", "registration", "csr")
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    invitation: bytes
    registration: bytes
    csr: bytes
    def __init__(self, invitation: _Optional[bytes] = ..., registration: _Optional[bytes] = ..., csr: _Optional[bytes] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("certificate", "registry_size")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SIZE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    registry_size: int
    def __init__(self, certificate: _Optional[bytes] = ..., registry_size: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("proof", "csr")
    PROOF_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    csr: bytes
    def __init__(self, proof: _Optional[bytes] = ..., csr: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...
