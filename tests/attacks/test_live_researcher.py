"""A researcher who cheats in a running federation: refused at once, so nothing stands in any log for which anybody could be named.

Real processes and TLS (`company`); bob speaks to the coordinator over his own certificate, and says what no honest program would.
Counts as failure: anything charged or logged, an audit that names somebody, a refusal for another reason than the forgery.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from company import ALICE, BOB, COUNT, Base, Scene
from small import as_researcher, charged

from collegium.client import Federation as Client
from collegium.home import Home
from collegium.keys import load_signer
from collegium.log.note import Signer
from collegium.statements import Request
from collegium.v1.federation_pb2 import AskRequest, Progress, ResultRequest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # starting a federation takes a while on a busy machine

ASK, RESULT = "/collegium.v1.Federation/Ask", "/collegium.v1.Federation/Result"
Forgery = Callable[[Scene], bytes]


def prepared(scene: Scene, researcher: str, salary: int = 3500) -> AskRequest:
    """What the honest program would hand in."""
    with Client(Home(scene.researcher_home(researcher))) as client:
        made = client.prepare(COUNT.format(salary), rho=1, nodes=["south"])
    return AskRequest(request=made.note, details=made.details)


def resigned(scene: Scene, name: str, signer: Signer) -> bytes:
    """Bob's request with this researcher in it, signed by this key."""
    asked = prepared(scene, BOB)
    note = Request.read(asked.request).model_copy(update={"researcher": name}).sign(signer)
    return AskRequest(request=note, details=asked.details).SerializeToString()


def in_alices_name(scene: Scene) -> bytes:
    return resigned(scene, ALICE, load_signer(scene.researcher_home(BOB) / "keys" / "statements"))


def alices_own_request(scene: Scene) -> bytes:
    """One that she has signed and not handed in: it would spend her limits."""
    return prepared(scene, ALICE).SerializeToString()


def with_a_key_of_his_making(scene: Scene) -> bytes:
    return resigned(scene, BOB, Signer.generate(f"small/{BOB}/statements"))


def dearer_after_signing(scene: Scene) -> bytes:
    asked = prepared(scene, BOB)
    return AskRequest(
        request=asked.request.replace(b'"rho":1000000000', b'"rho":9000000000'), details=asked.details
    ).SerializeToString()


def another_purpose(scene: Scene) -> bytes:
    asked, other = prepared(scene, BOB), prepared(scene, BOB)
    return AskRequest(request=asked.request, details=other.details).SerializeToString()


FORGERIES: list[Forgery] = [
    in_alices_name, alices_own_request, with_a_key_of_his_making, dearer_after_signing, another_purpose
]  # fmt: skip


def test_a11_a_forged_request_is_refused_and_leaves_nothing(base: Base, tmp_path: Path) -> None:
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve("south")
        before = {name: (scene.export(to="before") / name / "checkpoint").read_bytes() for name in ("coordinator", "south")}
        with as_researcher(scene, BOB) as line:
            for forgery in FORGERIES:
                heard = line.call(ASK, forgery(scene), stream=True)
                assert heard.code in ("INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "FAILED_PRECONDITION"), (
                    forgery.__name__,
                    heard,
                )
        found = scene.audited()
        assert {name: (scene.root / "logs" / name / "checkpoint").read_bytes() for name in before} == before
        found.names_nobody(0)
        assert found.line("A11") == "PASS"


def test_a11_the_same_request_again_is_the_same_answer_at_no_cost(base: Base, tmp_path: Path) -> None:
    """And nobody else can fetch it: a researcher sees his own requests."""
    with base.scene(tmp_path / "scene") as scene:
        scene.coordinate()
        scene.serve("south")
        asked = prepared(scene, BOB).SerializeToString()
        with as_researcher(scene, BOB) as bob, as_researcher(scene, ALICE) as alice:
            first = bob.call(ASK, asked, stream=True)
            spent = charged(scene, "south")
            again = bob.call(ASK, asked, stream=True)
            assert (first.code, again.code, again.reply) == ("OK", "OK", first.reply)
            assert charged(scene, "south") == spent
            identity = Progress.FromString(first.reply).request_id
            stolen = ResultRequest(request_id=identity).SerializeToString()
            assert alice.call(RESULT, stolen, stream=True).code == "INVALID_ARGUMENT"
            assert alice.call(ASK, asked, stream=True).code != "OK"
        scene.audited().names_nobody(0)
