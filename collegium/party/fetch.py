"""Fetch the registry from the coordinator when nobody pushes it: after joining, and before a command needs somebody new."""

from __future__ import annotations

import asyncio

import grpc

from collegium.enrolment import Keys
from collegium.party.home import Home, Membership, Party
from collegium.transport.channels import TlsFiles, client_channel
from collegium.transport.status import from_rpc
from collegium.v1.federation_pb2 import RegistryRequest
from collegium.v1.federation_pb2_grpc import FederationStub

__all__ = ["coordinator_channel", "fetch_registry", "tls_of"]

TIMEOUT = 30.0  # seconds for one page


def tls_of(home: Home, membership: Membership, keys: Keys | None = None) -> TlsFiles:
    """This party's TLS files as they are on disk now: a renewed certificate is taken up by the next connection."""
    chain, key = (keys or home.keys).tls()
    return TlsFiles(ca=membership.ca.encode(), chain=chain, key=key)


def coordinator_channel(home: Home, membership: Membership, proxy: str, keys: Keys | None = None) -> grpc.aio.Channel:
    """A new channel to the coordinator's main port. `keys`: others than those in use."""
    files = tls_of(home, membership, keys)
    return client_channel(membership.service, ca=files.ca, server="coordinator", me=files, proxy=proxy)


def fetch_registry(party: Party, proxy: str = "", keys: Keys | None = None) -> int:
    """Ask the coordinator for all registry entries this party lacks, and verify each. The size known afterwards.

    Raises Offline when the coordinator cannot be reached, NotVerified when what it sends does not verify.
    """
    return asyncio.run(_fetch(party, proxy, keys))


async def _fetch(party: Party, proxy: str, keys: Keys | None) -> int:
    entries: list[bytes] = []
    first = party.members.registry.size
    channel = coordinator_channel(party.home, party.membership, proxy, keys)
    try:
        while True:
            try:
                page = await FederationStub(channel).Registry(RegistryRequest(first=first + len(entries)), timeout=TIMEOUT)
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error, place=party.membership.service) from None
            entries.extend(page.entries)
            # A page may end before the checkpoint's size, so the whole is verified at once when it is complete.
            if not page.more or not page.entries:
                return party.members.learn(first, entries, page.checkpoint)
    finally:
        await channel.close()
