"""A5, A6, A7 of a plan: whether a national sum was planned as its question, the policy of its noise and the registry demand.

Everything is computed again from the signed request and the registry, as every node does before it charges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collegium.audit.case import Case
from collegium.audit.exhibits import entry_files
from collegium.audit.frame import Frame
from collegium.audit.heads import Heads, Seen
from collegium.audit.reading import cosignatures
from collegium.audit.rounds import Round, Rounds
from collegium.audit.verdict import Exhibit
from collegium.errors import CollegiumError
from collegium.layout import compile_layout
from collegium.log.checkpoint import read_checkpoint
from collegium.log.folder import MISSING, blob_path
from collegium.log.note import MAX_NOTE
from collegium.national.groups import Group, groups_of
from collegium.national.lists import Roster
from collegium.national.plan import check_plan
from collegium.national.share import Tolerance
from collegium.national.statements import Plan
from collegium.national.wanted import homes_of, wanted
from collegium.registry import Registry
from collegium.statements import Request

__all__ = ["Plans"]


class Plans:
    """The plans of one coordinator's log. Rosters of sound plans stay, for who looks at the lists; by the plan's id."""

    def __init__(self, frame: Frame, heads: Heads, rounds: Rounds, requests: dict[str, int]) -> None:
        self._frame = frame
        self._case: Case = frame.case
        self._heads = heads
        self._rounds = rounds
        self._requests = requests  # entry of each request
        self._groups: dict[tuple[str, int], tuple[Group, ...]] = {}
        self._keys: dict[int, dict[str, str]] = {}  # by registry size: statement key of each node
        self._looked = False
        self.rosters: dict[str, Roster] = {}

    def check(self, round_: Round) -> None:
        """One plan.

        1. The registry that it names is here. 2. Every number follows from the question, the tolerance and the declared k.
        3. Its trustees were registered with these keys, and each has signed before that its sealing key serves until the deadline.
        4. It is over one of the groups that follow from the request, and its roster holds nodes of that group, registered with
        these keys. 5. All three trustees have cosigned the registry, which is what stands against invented nodes.
        """
        frame, plan, registry = self._frame, round_.plan, self._case.registry
        assert registry is not None
        for check in ("A5", "A6", "A7"):
            self._case.findings.ran(check, frame.log.name)
        # (1)
        if plan.size > registry.size:
            text = f"the plan at entry {round_.index} rests on a registry of {plan.size} entries, which is not here"
            frame.warn("A7", "registry", text, missing=True)
            return
        body = Plan.read(frame.log.entry(round_.index))
        # (2)
        self._numbers(round_, body, registry)
        # (3)
        for each in plan.trustees:
            self._trustee(round_, registry, *each)
        # (4)
        self._roster(round_, registry)
        # (5)
        names = [each[0] for each in plan.trustees]
        cosigners = [key.cosigner for key in registry.nodes_at(plan.size, names, roles=("trustee",)) if key.cosigner is not None]
        origin = self._case.origin("registry")
        without = [key.name for key in cosigners if not self._heads.has_cosigned(key, origin, plan.size)]
        if without and self._beside():
            without = [key.name for key in cosigners if not self._heads.has_cosigned(key, origin, plan.size)]
        if without:
            text = (
                f"no cosignature of {', '.join(without)} on the registry that the plan at entry {round_.index} names is here: that "
                "its nodes are not invented rests on the coordinator's word"
            )
            frame.warn("A5", "not-cosigned", text, missing=True)

    def _beside(self) -> bool:
        """Look, once, through the small files beside the log for checkpoints of the registry: no plan names its own by digest."""
        if self._looked:
            return False
        self._looked = True
        begin = f"{self._case.origin('registry')}\n".encode()
        folder = self._frame.log.folder
        names = [name for name in folder.blobs() if (folder.path / blob_path(name)).lstat().st_size <= MAX_NOTE]
        for name in names:
            try:
                note = folder.blob(name)
                if note.startswith(begin):
                    head = read_checkpoint(note)
                    seen = Seen(head.origin, head.size, head.root, lambda note=note: note, "coordinator", -1, name)  # type: ignore[misc]
                    self._heads.see(seen, cosignatures(note))
            except CollegiumError:
                continue  # whatever it is, it is no checkpoint
        return True

    def known(self, request: str) -> bool:
        """Whether the registry that a request rests on is here: then its groups follow from it, or it is no national question."""
        fact, registry = self._case.requests[request], self._case.registry
        return registry is not None and fact.size <= registry.size and self._case.roots[fact.size] == fact.root

    def groups(self, request: str, number: int) -> tuple[Group, ...]:
        """The groups of a question. Raises Invalid where it cannot be answered by national sums."""
        found = self._groups.get((request, number))
        if found is None:
            assert self._case.registry is not None
            body = Request.read(self._frame.log.entry(self._requests[request]))
            found = self._groups[request, number] = groups_of(body, number, self._case.registry)
        return found

    def _numbers(self, round_: Round, body: Plan, registry: Registry) -> None:
        request = Request.read(self._frame.log.entry(self._requests[body.request]))
        question = request.questions[body.number]
        schema = registry.schemas[question.schema_id]
        try:
            layout = compile_layout(question, schema)
            homes = homes_of(layout, schema)
            check_plan(body, wanted(layout, body.nodes, Tolerance(body.dropout, body.colluding), homes), homes)
        except CollegiumError as error:
            text = f"the plan at entry {round_.index} is not what the question asks for: {error.text} ({error.place})"
            self._wrong("A6", "plan", text, round_)

    def _trustee(self, round_: Round, registry: Registry, name: str, vkey: str, sealing: str) -> None:
        known = registry.nodes_at(round_.plan.size, [name], roles=("trustee",))
        if not known or known[0].statements.vkey != vkey:
            text = f"the plan at entry {round_.index} names {name} as a trustee with a key that the registry does not hold"
            log = self._case.logs["registry"]
            shown = [known[0].index] if known else []
            self._frame.fail("A5", "trustee", text, round_.index, more=lambda: entry_files(log, *shown))
            return
        stated = self._rounds.keys.get((name, sealing))
        if stated is None or stated[0] > round_.index:
            text = f"no statement of {name} on the sealing key that the plan at entry {round_.index} names stands before it"
            self._frame.warn("A5", "sealing-key", text, missing=True)
        elif stated[1].until < round_.plan.deadline:
            text = (
                f"the plan at entry {round_.index} seals to a key of {name} that ends {round_.plan.deadline - stated[1].until} "
                f"seconds before its deadline (entry {stated[0]})"
            )
            self._frame.fail("A5", "sealing-key-ended", text, stated[0], round_.index)

    def _roster(self, round_: Round, registry: Registry) -> None:
        plan, index = round_.plan, round_.index
        if not self.known(plan.request):
            return  # told where the request stands: what it asks cannot be known here
        # the group
        try:
            members = next((each.members for each in self.groups(plan.request, plan.number) if each.codes == plan.group), None)
        except CollegiumError as error:
            self._wrong("A7", "group", f"the plan at entry {index} is of a question that is no national sum: {error.text}", round_)
            return
        if members is None:
            what = "everybody asked" if plan.group is None else ", ".join(plan.group)
            text = f"the plan at entry {index} is over {what}, which is no group of the partition that the request asks for"
            self._wrong("A7", "group", text, round_)
            return
        # the nodes
        roster, blob = self._list(round_)
        if roster is None:
            return
        exhibits = [Exhibit(f"{plan.roster}.blob", blob, "the roster that the plan names by SHA-256")]
        keys = self._registered(registry, plan.size)
        strange = [each.node for each in roster.nodes if keys.get(each.node) != each.key]
        outside = sorted({each.node for each in roster.nodes} - set(members))
        if strange:
            text = f"the roster of the plan at entry {index} has nodes that are not registered with these keys: {_few(strange)}"
            self._wrong("A5", "roster", text, round_, exhibits)
        elif outside:
            text = f"the roster of the plan at entry {index} has nodes that its request does not ask: {_few(outside)}"
            self._wrong("A7", "roster", text, round_, exhibits)
        elif len(roster.nodes) != plan.nodes:
            text = f"the plan at entry {index} counts {plan.nodes} nodes, and its roster has {len(roster.nodes)}"
            self._wrong("A7", "roster", text, round_, exhibits)
        else:
            self.rosters[plan.id] = roster

    def _list(self, round_: Round) -> tuple[Roster | None, bytes]:
        """The roster as it lies beside the log; None, with a finding, when it is missing or none."""
        body = Plan.read(self._frame.log.entry(round_.index))
        try:
            blob = self._frame.log.folder.blob(body.roster.sha256)
        except CollegiumError as error:
            why = "is missing" if error.reason == MISSING else "is not the one signed"
            self._frame.warn("A5", "roster", f"the roster of the plan at entry {round_.index} {why}", missing=True)
            return None, b""
        try:
            return Roster.from_blob(blob, body.roster), blob
        except CollegiumError as error:
            text = f"what the plan at entry {round_.index} names as its roster is none: {error.text}"
            self._wrong("A7", "roster", text, round_, [Exhibit(f"{body.roster.sha256}.blob", blob, "what the plan names")])
            return None, b""

    def _registered(self, registry: Registry, size: int) -> dict[str, str]:
        found = self._keys.get(size)
        if found is None:
            found = self._keys[size] = {node.name: node.statements.vkey for node in registry.nodes_at(size)}
        return found

    def _wrong(self, check: str, rule: str, text: str, round_: Round, exhibits: Sequence[Exhibit] = ()) -> None:
        request = self._requests[round_.plan.request]
        self._frame.fail(check, rule, text, request, round_.index, more=lambda: exhibits)


def _few(names: Sequence[Any]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
