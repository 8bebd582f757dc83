"""One servicer behind two transports: the calls of a tunnel, and a gRPC server.

A servicer is any object with an async method for each method of the service, `async def Answer(self, request, context)`, or an
async generator where the service streams replies. It raises errors of `collegium.errors`; what of them leaves is decided here,
by `status`: `to_status` for the coordinator, `to_public_status` for a node. Any other exception leaves as one constant status,
and its class and place in the code (never its text: it may quote data) go to the local log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from collegium.errors import CollegiumError, Invalid, public_text
from collegium.transport.endpoint import Handler
from collegium.transport.peer import Peer, peer_of
from collegium.transport.status import Status, TunnelError, to_status

__all__ = ["TunnelContext", "add_service", "handlers_of"]

StatusOf = Callable[[BaseException], Status]
Admit = Callable[[Peer], None]
_log = logging.getLogger(__name__)


class TunnelContext:
    """What a servicer method gets of a call that came down a tunnel: the part of gRPC's context that both can give."""

    __slots__ = ("_deadline", "peer_identity")

    def __init__(self, peer: Peer | None, deadline: float | None) -> None:
        self.peer_identity = peer
        self._deadline = deadline

    def time_remaining(self) -> float | None:
        """Seconds until nobody waits any more; None without a deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def abort(self, code: Any, details: str = "") -> NoReturn:
        """Ends the call with a member of `grpc.StatusCode`."""
        raise TunnelError(code.value[0], details)


def handlers_of(
    servicer: object, service: ServiceDescriptor, *, peer: Peer | None = None, status: StatusOf = to_status
) -> dict[str, Handler]:
    """Handlers of an Endpoint for the methods of `service` that take one message and give one.

    Args:
        peer: who TLS has proven to be at the other end of the tunnel; servicer methods read it with `peer_of(context)`.
        status: what leaves for an error.
    """
    return {
        f"/{service.full_name}/{method.name}": _handler(servicer, method, peer, status)
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    }


def _handler(servicer: object, method: MethodDescriptor, peer: Peer | None, status: StatusOf) -> Handler:
    behaviour, request_of = getattr(servicer, method.name), _parser(method)

    async def handle(payload: bytes, deadline: float | None) -> bytes:
        try:
            reply: Message = await behaviour(request_of(payload), TunnelContext(peer, deadline))
            return reply.SerializeToString()
        except TunnelError:
            raise
        except Exception as error:
            raise TunnelError(*_leaving(error, method.full_name, status)) from None

    return handle


def add_service(
    server: Any, servicer: object, service: ServiceDescriptor, *, status: StatusOf = to_status, admit: Admit | None = None
) -> None:
    """Serves `service` on a `grpc.aio` server. `admit` sees the peer of every call first and raises for one it does not want."""
    handlers = {method.name: _grpc_handler(servicer, method, status, admit) for method in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _grpc_handler(servicer: object, method: MethodDescriptor, status: StatusOf, admit: Admit | None) -> Any:
    if method.client_streaming:
        raise TypeError(f"{method.full_name} streams requests; it is served by a class of its own")
    behaviour, request_of = getattr(servicer, method.name), _parser(method)

    def request(payload: bytes, context: Any) -> Message:
        if admit is not None:
            admit(peer_of(context))
        return request_of(payload)

    async def one(payload: bytes, context: Any) -> bytes:
        try:
            reply: Message = await behaviour(request(payload, context), context)
            return reply.SerializeToString()
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _leave(context, error, method.full_name, status)
            raise  # never reached: abort raises

    async def many(payload: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for reply in behaviour(request(payload, context), context):
                yield reply.SerializeToString()
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _leave(context, error, method.full_name, status)

    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(many)
    return grpc.unary_unary_rpc_method_handler(one)


def _parser(method: MethodDescriptor) -> Callable[[bytes], Message]:
    message = GetMessageClass(method.input_type)

    def parse(payload: bytes) -> Message:
        try:
            return message.FromString(payload)
        except DecodeError:
            raise Invalid(public_text("malformed"), reason="malformed") from None

    return parse


def _leaving(error: Exception, method: str, status: StatusOf) -> Status:
    """What the caller learns of an error; what it does not learn is noted here without the error's text."""
    if not isinstance(error, CollegiumError):
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else "an unknown place"
        _log.error("%s failed: %s at %s", method, type(error).__name__, where)
    return status(error)


async def _leave(context: Any, error: Exception, method: str, status: StatusOf) -> None:
    leaving = _leaving(error, method, status)
    await context.abort(leaving.grpc, leaving.details)
