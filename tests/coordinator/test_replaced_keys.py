"""A node replaces its statement key: what it signed before stays good, and a stolen older key signs nothing that counts.

Counts as failure: a figure that no longer verifies because a key was replaced, an honest answer refused for it, a statement by the
older key taken that is not in the node's log or claims a registry in which that key had ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from collegium.bundle import KINDS, Bundle, verify
from collegium.errors import NotVerified
from collegium.keys import statements_name
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.registration import Party
from collegium.statements import Decision, LogPlace, Original, Release, Withdrawal
from collegium.token import parse_token
from collegium_coordinator.indicator import national_table


class Scene:
    def __init__(self, federation: Any, node: Any, alice: Any, stub: Any) -> None:
        self.federation = federation
        self.node = node
        self.alice = alice
        self.stub = stub

    @property
    def registry(self) -> Any:
        return self.federation.coordinator.registry.registry

    async def ask(self, nonce: str, **changes: Any) -> Any:
        request = self.alice.request(await self.alice.registry(self.stub), ["u1"], nonce=nonce * 32, **changes)
        return await self.federation.ask(self.stub, request)

    async def bundle(self, identity: str, **more: Any) -> Bundle:
        bundle = Bundle()
        for kind, parts in (await self.federation.result(self.stub, identity, **more)).items():
            for part in parts:
                if kind == "receipt":
                    bundle.add("receipt", part.proof, part.statement)
                elif kind in KINDS:
                    bundle.add(kind, part)
        return bundle

    async def replace_key(self) -> Signer:
        """The node's new key is in the registry and in the node; the old one."""
        coordinator, node = self.federation.coordinator, self.node
        token = parse_token(await asyncio.to_thread(self.federation.invite, "node", "u1", replaces=True))
        await asyncio.to_thread(coordinator.registry.refresh)
        new, old = Signer.generate(statements_name("demo", "u1")), node.statements
        party = Party(
            invitation=statement_id(token.invitation),
            role="node",
            name="u1",
            statements=new.vkey,
            log=node.log.vkey,
            cosigner=node.cosigner.vkey,
            time=int(self.federation.clock()),
        ).sign(token.one_time, new, old)
        await asyncio.to_thread(coordinator.registry.append, party)
        await coordinator.nodes.registry_grew()
        node.statements = new
        return old


def scene(federation: Any, play: Callable[[Scene], Any], **asking: Any) -> None:
    async def run() -> None:
        async with federation.serving(combine=national_table, **asking), AsyncExitStack() as stack:
            node = await federation.node("u1", value=7)
            alice = await federation.researcher()
            await stack.enter_async_context(federation.link(node))
            await federation.all_connected(node)
            stub = await stack.enter_async_context(alice.line(federation.ports.main))
            await play(Scene(federation, node, alice, stub))

    asyncio.run(run())


def test_a_release_of_the_older_key_goes_out_again_and_old_figures_still_verify(federation: Any) -> None:
    async def play(s: Scene) -> None:
        first = await s.ask("1")
        before = await s.bundle(first.request_id)
        verify(before, s.registry)
        old = await s.replace_key()
        verify(before, s.registry)
        again = await s.ask("2")
        assert again.released == 1
        after = await s.bundle(again.request_id)
        decision, release = after.decisions[0], after.releases[0]
        assert Decision.open(decision, [s.node.statements.verifier]).verdict == "reuse"
        Release.open(release, [old.verifier])
        figures = verify(after, s.registry).figures[0]
        assert [each.node for each in figures.accounts.releases] == ["u1"]
        # Old figures signed anew after the replacement, with their old decision and release.
        verify(await s.bundle(first.request_id), s.registry)

    scene(federation, play)


def test_an_answer_made_before_the_replacement_and_delivered_after_it_is_taken(federation: Any) -> None:
    async def play(s: Scene) -> None:
        def lose(_reply: Any) -> Any:
            raise RuntimeError("lost on the way")

        s.node.spoil = lose
        first = await s.ask("1")
        assert first.released == 0
        await s.replace_key()
        s.node.spoil = None
        s.federation.offset = 5.0
        bundle = await s.bundle(first.request_id, refresh=True)
        assert len(bundle.releases) == 1
        verify(bundle, s.registry)

    scene(federation, play, again_seconds=600.0)


def test_a_withdrawal_by_either_key_marks_the_figure(federation: Any) -> None:
    async def play(s: Scene) -> None:
        first = await s.ask("1")
        kept = await s.bundle(first.request_id)
        release = Release.read(kept.releases[0])
        view = s.node.registry.view()
        old = await s.replace_key()
        for signer, registry in ((old, view), (s.node.statements, s.node.registry.view())):
            withdrawal = Withdrawal(
                log=LogPlace(origin="demo/u1", index=9),
                registry=registry,
                time=1,
                release=Original(index=release.log.index, sha256=statement_id(kept.releases[0])),
                request=first.request_id,
                number=0,
                reason="wrong upload",
            ).sign(signer)
            kept.withdrawals = [withdrawal]
            assert verify(kept, s.registry).figures[0].withdrawn == ("u1",)
        stranger = Signer.generate("demo/u1/statements")
        kept.withdrawals = [Withdrawal.read(withdrawal).sign(stranger)]
        with pytest.raises(NotVerified):
            verify(kept, s.registry)

    scene(federation, play)


def test_a_stolen_older_key_signs_nothing_that_counts(federation: Any) -> None:
    async def play(s: Scene) -> None:
        early = s.node.registry.view()
        old = await s.replace_key()
        late = s.node.registry.view()

        def forged(view: Any, *, logged: bool) -> Any:
            def spoil(reply: Any) -> Any:
                answer = reply.answers[0]
                decision = Decision.read(answer.decision).model_copy(update={"registry": view})
                release = Release.read(answer.release).model_copy(update={"registry": view})
                answer.decision, answer.release = decision.sign(old), release.sign(old)
                return s.node.log_again(reply) if logged else reply

            return spoil

        for number, (view, logged) in enumerate([(late, True), (late, False), (early, False)]):
            s.node.spoil = forged(view, logged=logged)
            s.node.released.clear()
            done = await s.ask(str(number))
            assert done.released == 0, (view.size, logged)
            seen = s.federation.seen(await s.federation.result(s.stub, done.request_id))
            assert [each.reason for each in seen.missing] == ["bad-answer"]

    scene(federation, play, again_seconds=600.0)


def test_a_statement_of_the_older_key_needs_its_receipt_in_a_bundle(federation: Any) -> None:
    async def play(s: Scene) -> None:
        await s.ask("1")
        await s.replace_key()
        again = await s.ask("2")
        bundle = await s.bundle(again.request_id)
        verify(bundle, s.registry)
        del bundle.receipts[statement_id(bundle.releases[0])]
        with pytest.raises(NotVerified, match="no receipt"):
            verify(bundle, s.registry)

    scene(federation, play)
