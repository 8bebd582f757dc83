"""The researcher's federation in Python: `connect()`, `ask()`, `result()`.

import collegium

with collegium.connect() as federation:
    answer = federation.ask("SELECT COUNT(*) AS graduates FROM graduate WHERE year = 2025", epsilon=0.5)
    print(answer, answer.guarantee)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collegium.answer import Answer
from collegium.asking import Ask, Prepared, prepare, prepare_questions
from collegium.bundle import KINDS, Bundle, Verified, verify
from collegium.connection import Connection
from collegium.errors import Failed, Invalid, NotReleased, NotVerified, Offline
from collegium.home import Home, default_home
from collegium.progress import followed
from collegium.registry import Registry
from collegium.schema import Schema
from collegium.statements import Indicator
from collegium.v1.federation_pb2 import NodeLine, Progress, RequestLine

if TYPE_CHECKING:
    from collegium.plan import Plan
    from collegium.question import Question
    from collegium.view import View
    from collegium.watching import Watch

__all__ = ["Federation", "connect"]

PATIENCE = 120.0  # seconds; what comes later joins when the result is fetched again
PENDING_TRIES = 3  # times that figures waiting for their witnesses are fetched again; the coordinator waits two seconds each time


def connect(home: Path | str | None = None, *, language: str = "en") -> Federation:
    """The federation that the folder `home` (default: $COLLEGIUM_HOME or the user's configuration folder) has joined.

    Raises Invalid when it has joined none, Offline when the coordinator cannot be reached.
    """
    return Federation(Home(Path(home) if home is not None else default_home()), language=language)


class Federation:
    """One open connection. Use it as a context manager, or close it."""

    def __init__(self, home: Home, *, language: str = "en", clock: Callable[[], float] = time.time) -> None:
        self._connection = Connection(home, clock=clock)
        self._clock = clock
        self.home = home
        self.language = language
        self.registry: Registry = self._connection.registry()

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def now(self) -> float:
        """The clock of this federation, Unix seconds."""
        return self._clock()

    @property
    def schema(self) -> Schema:
        """What can be asked."""
        return self.registry.schema

    def nodes(self) -> list[NodeLine]:
        """The universities, their public facts, and whether they are connected."""
        return self._connection.nodes()

    def watch(self) -> Watch:
        """How all nodes and trustees stand, to be looked at again and again; see `collegium.watching`."""
        from collegium.watching import Watch

        def newest() -> Registry:
            self.registry = self._connection.registry()
            return self.registry

        return Watch(lambda brief: self._connection.parties(brief=brief), newest, clock=self._clock)

    def requests(self, limit: int = 20) -> list[RequestLine]:
        """Your requests, newest first."""
        return self._connection.requests(limit)

    def prepare(self, *statements: str, **settings: Any) -> Prepared:
        """The signed request for the statements, not sent: its cost, whom it asks, its guarantee. Settings as in `asking.Ask`."""
        membership = self._connection.membership
        ask = Ask(statements=statements, **settings)
        return prepare(ask, self.registry, self._connection.signer, membership.name, now=self._clock())

    def prepare_questions(self, pairs: Sequence[tuple[Question, View]], **settings: Any) -> Prepared:
        """The same for questions built without SQL, each component with its rho; `statements` then is what people read."""
        name, signer = self._connection.membership.name, self._connection.signer
        ask = Ask(**{"statements": (), **settings})
        return prepare_questions(ask, pairs, self.registry, signer, name, now=self._clock())

    def ask(
        self,
        *statements: str,
        epsilon: float | str | None = None,
        rho: float | str | None = None,
        purpose: str = "",
        nodes: Sequence[str] | None = None,
        min_nodes: int = 0,
        deadline: float = PATIENCE,
        on_progress: Callable[[Progress], None] | None = None,
        progress: bool | None = None,
        **settings: Any,
    ) -> Answer:
        """Asks and waits until every university has answered, at most `deadline` seconds. The cost is for all statements together.

        With `mode="national"` only the sum over all universities is uncovered; a statement may say so itself with RELEASE NATIONAL.
        Other settings as in `asking.Ask`.

        Meanwhile a bar shows how many have answered: in a terminal and in a notebook unless `progress` is False, elsewhere only if
        it is True. `on_progress` gets the reports instead.

        Raises:
            Invalid: a statement is not understood, with the place and what to write instead. Nothing was asked.
            NotReleased: fewer than `min_nodes` universities answered; the question goes on, `result(id)` fetches it later.
            Refused, Offline, Failed, NotVerified: see `collegium.errors`.
        """
        prepared = self.prepare(*statements, epsilon=epsilon, rho=rho, purpose=purpose, nodes=nodes, **settings)
        return self.submit(prepared, min_nodes=min_nodes, deadline=deadline, on_progress=on_progress, progress=progress)

    def plan(self, *statements: str, target_error: str = "", expect: int | None = None, **settings: Any) -> Plan:
        """What the statements would cost and how good their figures would be. Sends nothing, touches no data, costs nothing.

        With `target_error` ("1%", or a half width in natural units) instead of a cost: at the cost that reaches it. `expect` is how
        many rows there will be nationally, if you know better than the registry's enrolment. Settings as in `asking.Ask`.
        """
        from collegium.planning import plan_of

        ask, name = Ask(statements=statements, **settings), self._connection.membership.name
        signer, now = self._connection.signer, self._clock()
        return plan_of(ask, self.registry, self.nodes(), signer, name, now=now, target_error=target_error, expect=expect)

    def plan_questions(self, pairs: Sequence[tuple[Question, View]], *, purpose: str = "") -> Plan:
        """The plan of questions built without SQL, as `plan`."""
        from collegium.plan_make import make_plan, published

        prepared = self.prepare_questions(pairs, purpose=purpose)
        return make_plan(prepared, self.registry, published(self.registry, self.nodes()), purpose=purpose)

    def submit(
        self,
        prepared: Prepared,
        *,
        min_nodes: int = 0,
        deadline: float = PATIENCE,
        on_progress: Callable[[Progress], None] | None = None,
        progress: bool | None = None,
    ) -> Answer:
        """Hands in a prepared request and waits as `ask` does. The same request may be handed in again; it is answered once."""
        with followed(len(prepared.audience), False if on_progress is not None else progress) as bar:
            self.hand_in(prepared, deadline=deadline, on_progress=on_progress or bar)
        return self.result(prepared.id, refresh=False, wait=0.0, min_nodes=min_nodes)

    def hand_in(
        self, prepared: Prepared, *, deadline: float = PATIENCE, on_progress: Callable[[Progress], None] | None = None
    ) -> Progress:
        """Hands in and follows the progress for at most `deadline` seconds; the question goes on when we stop looking."""
        last = Progress(request_id=prepared.id, asked=len(prepared.audience))
        seen = False
        try:
            for progress in self._connection.ask(prepared.note, prepared.details, timeout=deadline):
                last, seen = progress, True
                if on_progress is not None:
                    on_progress(progress)
        except Offline:
            if not seen:  # not even taken
                raise
        return last

    def result(self, request: str, *, refresh: bool = True, wait: float = 10.0, min_nodes: int = 0) -> Answer:
        """The figures of a request as they are now. `request` may be the beginning of an id.

        `refresh` asks the universities that have not answered yet once more, for at most `wait` seconds.
        """
        identity = self._complete(request)
        bundle = self._fetched(identity, refresh=refresh, wait=wait)
        if not bundle.request:
            raise Failed("the coordinator sent no request", place=identity[:12], remedy="Fetch the result again.")
        if any(Indicator.read(note).registry.size > self.registry.size for note in bundle.indicators):
            self.registry = self._connection.registry()
        verified = self._verified(bundle)
        if verified.id != identity:
            raise Failed("the coordinator sent another request", place=identity[:12], remedy="Fetch the result again.")
        answer = Answer(verified, bundle, self.registry, self.language)
        answered = answer.coverage.answered if verified.figures else 0
        if answered < min_nodes:
            raise NotReleased(
                f"{answered} of the {min_nodes} universities you wait for have answered",
                place=identity[:12],
                remedy=f"Fetch it later: collegium result {identity[:12]}",
            )
        return answer

    def save(self, answer: Answer, path: Path) -> int:
        """Write the answer's bundle file (`collegium.bundlefile`): anybody verifies it offline. Its size in bytes."""
        from collegium.bundlefile import write_bundle

        # The newest registry: its checkpoint carries the cosignatures that a reader with a trust file asks for.
        self.registry = self._connection.registry()
        return write_bundle(path, answer.bundle, self.registry)

    def _fetched(self, identity: str, *, refresh: bool, wait: float) -> Bundle:
        """The parts of a request's result. Figures that wait for witnesses are fetched again for some seconds.

        Raises NotReleased, reason `pending`, when the witnesses take longer.
        """
        for last in (*[False] * PENDING_TRIES, True):
            bundle = Bundle()
            try:
                for part in self._connection.result(identity, refresh=refresh, wait=wait):
                    kind = part.WhichOneof("part")
                    if kind == "receipt":
                        bundle.add(kind, bytes(part.receipt.proof), part.receipt.statement)
                    elif kind in KINDS:
                        bundle.add(kind, bytes(getattr(part, kind)))
                break
            except NotReleased as error:
                if last or error.reason != "pending":
                    raise
            refresh, wait = False, 0.0  # the nodes have been asked
            time.sleep(0.5)
        return bundle

    def _verified(self, bundle: Bundle) -> Verified:
        """The bundle, verified. Once more with the newest registry: witnesses may have been assigned anew a moment ago."""
        try:
            return verify(bundle, self.registry)
        except NotVerified:
            newest = self._connection.registry()
            if newest.size == self.registry.size:
                raise
            self.registry = newest
            return verify(bundle, newest)

    def _complete(self, request: str) -> str:
        """The whole id of a request of yours that begins so."""
        if len(request) == 64:
            return request
        found = [line.request_id for line in self.requests(200) if line.request_id.startswith(request)]
        if len(found) != 1 or not request:
            text = "several requests begin so" if found and request else "there is no such request of yours"
            raise Invalid(text, place="request id", remedy="See them with `collegium requests`.")
        return found[0]
