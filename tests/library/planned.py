"""A registry in memory with a few universities that publish policies, for the tests of plans."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collegium.asking import Ask
from collegium.log.cosign import CosignerSigner
from collegium.log.merkle import EMPTY_ROOT
from collegium.log.note import Signer, encode_base64
from collegium.log.statement import statement_id
from collegium.plan import Plan
from collegium.planning import plan_of
from collegium.registration import Partition
from collegium.registry import Registry
from collegium.statements import Federation, Invitation, LogPlace, Party, Policy, PolicySnapshot, RegistryView, SchemaEntry
from collegium.tls import make_ca
from collegium.v1.federation_pb2 import NodeLine, NodeStatusLine

FED = "example"
NOW = 1_800_000_000
SCHEMA = Path(__file__).parent.parent.parent / "examples" / "higher-education" / "schema.toml"
ASKER = "li-wei"
DATASETS = ("graduate", "course_reg")


def key(name: str) -> Signer:
    return Signer.from_seed(name, name.encode().ljust(32, b".")[:32])


def statements_key(name: str) -> Signer:
    return key(f"{FED}/{name}/statements")


@dataclass
class Campus:
    """One university and what it publishes. `policy` None: it has published none."""

    name: str
    province: str = "11"
    enrolment: int = 10_000
    connected: bool = True
    policy: dict[str, Any] | None = field(default_factory=lambda: allowing())
    datasets: Sequence[str] = DATASETS
    signer: Signer | None = None  # of the policy; its own key if not given


def allowing(mode: str = "allow", datasets: Sequence[str] = ("*",), **more: Any) -> dict[str, Any]:
    """A policy that allows the asker, with a budget for students."""
    return {
        "budget": {"student": {"period": "year", "rho": 10**8, "lifetime": 10**9}},
        "limits": {"dataset": {}, "researcher": {}},
        "allow": [
            {
                "researcher": ASKER,
                "key": statements_key(ASKER).verifier.vkey,
                "datasets": list(datasets),
                "mode": mode,
                "purpose": "",
            }
        ],
        **more,
    }


def registry(
    campuses: Sequence[Campus],
    *,
    groups: Sequence[Sequence[str]] = (),
    homes: int | None = None,
    trustees: Sequence[str] = (),
) -> Registry:
    """With these universities and the asker. `groups`: a partition by province. `homes`: at so many nodes a student can be."""
    top = key(f"{FED}/registry/statements")
    keys = {
        "registry": top.vkey,
        "registry_log": key(f"{FED}/registry").vkey,
        "coordinator": key(f"{FED}/coordinator/statements").vkey,
        "coordinator_log": key(f"{FED}/coordinator").vkey,
    }
    ca = make_ca(FED, clock=lambda: float(NOW))[0].decode()
    toml = SCHEMA.read_text(encoding="utf-8")
    if homes is not None:
        toml = re.sub(r"max_nodes_per_person = [0-9]+", f"max_nodes_per_person = {homes}", toml)
    entries = [
        Federation(federation=FED, ca=ca, delta="1e-6", time=1, **keys).sign(top),
        SchemaEntry(name="higher-education", version=1, toml=toml, time=2).sign(top),
    ]
    for campus in (*campuses, *(Campus(name) for name in trustees), None):
        name, role = (campus.name, "node") if campus is not None else (ASKER, "researcher")
        role = "trustee" if name in trustees else role
        once = key(f"{FED}/{name}/invitation")
        facts = {"province": campus.province, "character": "01", "level": "本科"} if campus is not None and role == "node" else {}
        invitation = Invitation(
            role=role,
            name=name,
            facts=facts,
            enrolment=campus.enrolment if campus is not None and role == "node" else 0,
            expiry=100,
            key=once.vkey,
            time=3,
        ).sign(top)  # type: ignore[arg-type]
        log = key(f"{FED}/{name}") if campus is not None else None
        cosigner = CosignerSigner.from_seed(f"{FED}/{name}/witness", name.encode().ljust(32, b"-")) if campus is not None else None
        party = Party(
            invitation=statement_id(invitation),
            role=role,  # type: ignore[arg-type]
            name=name,
            statements=statements_key(name).vkey,
            log=log.vkey if log is not None else None,
            cosigner=cosigner.vkey if cosigner is not None else None,
            time=9,
        ).sign(once, statements_key(name))
        entries += [invitation, party]
    if groups:
        entries.append(Partition(fact="province", groups=tuple(tuple(group) for group in groups), time=9).sign(top))
    made = Registry(top.vkey)
    made.extend(entries)
    return made


def policy_note(campus: Campus) -> bytes:
    if campus.policy is None:
        return b""
    return Policy(
        log=LogPlace(origin=f"{FED}/{campus.name}", index=0),
        registry=RegistryView(size=0, root=encode_base64(EMPTY_ROOT)),
        time=NOW,
        policy=campus.policy,
        snapshots=(PolicySnapshot(id="0" * 16, name="first", time=NOW, datasets=tuple(campus.datasets), current=True),),
    ).sign(campus.signer or statements_key(campus.name))


def lines(campuses: Sequence[Campus]) -> list[NodeLine]:
    """What the coordinator says of them."""
    return [
        NodeLine(
            name=campus.name,
            connected=campus.connected,
            status=NodeStatusLine(datasets=list(campus.datasets), policy=policy_note(campus)),
        )
        for campus in campuses
    ]


def plan(campuses: Sequence[Campus], *statements: str, target_error: str = "", expect: int | None = None, **settings: Any) -> Plan:
    ask: Mapping[str, Any] = {"statements": statements, **settings}
    return plan_of(
        Ask(**ask),
        registry(campuses),
        lines(campuses),
        statements_key(ASKER),
        ASKER,
        now=NOW,
        target_error=target_error,
        expect=expect,
    )
