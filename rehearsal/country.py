"""The country is founded: registry, authority, and every party registered as `invite` and `join` would, one entry after another.

What `collegium-node join` does over the enrolment port is done here in one process: the registrar's own code invites, keys are made
in the newcomer's folder, the enrolment's own code checks the registration and gives the certificate. Nothing is skipped but the
line between the two.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collegium.enrolment import Keys
from collegium.home import Home as ResearcherHome
from collegium.home import Membership as ResearcherMembership
from collegium.keys import load_signer, log_name, save_secret, save_signer, statements_name, witness_name
from collegium.log.cosign import CosignerSigner
from collegium.log.note import Signer
from collegium.log.statement import statement_id
from collegium.party.home import Membership
from collegium.registration import Party
from collegium.tls import make_key_and_csr
from collegium.token import Token, parse_token
from collegium.v1.enrolment_pb2 import JoinRequest
from collegium_coordinator.ca import Authority
from collegium_coordinator.config import Home, Listen, Public, read_config
from collegium_coordinator.enrol import Enrolment
from collegium_coordinator.registrar import Registrar, init
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.store import Store
from collegium_node.home import Home as NodeHome

__all__ = ["RESEARCHER", "TRUSTEES", "Country", "province_of"]

FEDERATION = "country"
RESEARCHER = "li-wei"
TRUSTEES = ("trustee-audit", "trustee-statistics", "trustee-university")
SCHEMA = Path(__file__).with_name("schema.toml")
WEEK = 7 * 86_400
PATIENCE = 900.0  # seconds in which universities have to answer or submit

# Invented sizes in the proportions one would expect: many universities in large provinces, a handful in the smallest.
WEIGHTS = {
    "11": 92, "12": 56, "13": 125, "14": 84, "15": 54, "21": 115, "22": 66, "23": 80, "31": 64, "32": 168, "33": 109,
    "34": 121, "35": 89, "36": 106, "37": 153, "41": 168, "42": 130, "43": 130, "44": 160, "45": 88, "46": 21, "50": 70,
    "51": 137, "52": 77, "53": 88, "54": 7, "61": 97, "62": 49, "63": 12, "64": 20, "65": 56,
}  # fmt: skip


def province_of(number: int) -> str:
    """The province of university `number`: its place in the list of weights, gone round again and again."""
    at = number * 977 % sum(WEIGHTS.values())  # 977: a prime, so that the first hundred lie in many provinces
    for code, weight in WEIGHTS.items():
        at -= weight
        if at < 0:
            return code
    raise AssertionError("the weights add up")


@dataclass(frozen=True, slots=True)
class Country:
    """Where everything of the rehearsal lies."""

    root: Path
    main: str  # host:port
    enrolment: str

    @property
    def ministry(self) -> Home:
        return Home(self.root / "ministry")

    @property
    def registry_key(self) -> Path:
        return self.root / "registry-key"

    @property
    def researcher(self) -> ResearcherHome:
        return ResearcherHome(self.root / "researcher")

    def trustee(self, name: str) -> Path:
        return self.root / "trustees" / name

    def node(self, number: int) -> NodeHome:
        return NodeHome(self.root / "nodes" / f"{number // 100:03}" / f"univ-{number:04}")

    def found(self) -> None:
        """Keys, authority, database and schema of a new federation; deadlines for universities that share a few processors."""
        init(
            self.ministry, self.registry_key, federation=FEDERATION, schema=SCHEMA.read_text(encoding="utf-8"), delta="1e-6",
            listen=Listen(main=self.main, enrolment=self.enrolment),
            public=Public(main=self.main, enrolment=self.enrolment, hosts=("127.0.0.1",)), clock=time.time,
        )  # fmt: skip
        settings = self.ministry.config.read_text(encoding="utf-8")
        for line in ("deadline_seconds", "seconds"):
            settings = re.sub(rf"^{line} = .*$", f"{line} = {PATIENCE}", settings, flags=re.MULTILINE)
        self.ministry.config.write_text(settings, encoding="utf-8")

    def register(self, nodes: int, *, witnesses: int) -> Iterator[int]:
        """Everybody joins: the researcher, then the universities; how many have, one by one. `witnesses` of each log, or 0."""
        config = read_config(self.ministry)
        registrar = Registrar(self.ministry, self.registry_key, clock=time.time)
        store = Store(self.ministry.database)
        try:
            log = RegistryLog(store, config.registry, load_signer(self.ministry.registry_log_key))
            authority = Authority(self.ministry, FEDERATION, lifetime=config.certificates.days * 86_400.0, clock=time.time)
            enrolment = Enrolment(store, log, authority, clock=time.time, on_grown=lambda: None)
            token = parse_token(registrar.invite("researcher", RESEARCHER, facts={}, expires=WEEK))
            _enrol(token, self.researcher.keys, enrolment)
            self.researcher.remember(
                ResearcherMembership(FEDERATION, RESEARCHER, token.registry, token.service, token.address, token.ca.decode())
            )
            for number in range(nodes):
                home = self.node(number)
                facts = {"province": province_of(number)}
                token = parse_token(registrar.invite("node", home.root.name, facts=facts, enrolment=400, expires=WEEK))
                _enrol(token, home.keys, enrolment)
                home.remember(
                    Membership(
                        FEDERATION, home.root.name, token.service, token.address, token.registry, token.ca.decode(),
                        statement_id(token.invitation),
                    )
                )  # fmt: skip
                yield number + 1
            if witnesses:
                registrar.assign_witnesses(witnesses)
        finally:
            store.close()
            registrar.close()


def _enrol(token: Token, keys: Keys, enrolment: Enrolment) -> None:
    """Keys made in the newcomer's folder, the registration signed by them and by the one-time key, the certificate kept."""
    role, name = token.invited.role, token.invited.name
    statements = Signer.generate(statements_name(FEDERATION, name))
    save_signer(keys.statements, statements)
    log = witness = None
    if role != "researcher":
        log, witness = Signer.generate(log_name(FEDERATION, name)), CosignerSigner.generate(witness_name(FEDERATION, name))
        save_signer(keys.log, log)
        save_signer(keys.witness, witness)
    key, csr = make_key_and_csr(FEDERATION, role, name)
    save_secret(keys.tls_key, key)
    save_secret(keys.request, csr)
    party = Party(
        invitation=statement_id(token.invitation), role=role, name=name, statements=statements.vkey,
        log=log.vkey if log else None, cosigner=witness.vkey if witness else None, time=int(time.time()),
    )  # fmt: skip
    registration = party.sign(token.one_time, statements)
    reply = enrolment.join(JoinRequest(invitation=token.invitation, registration=registration, csr=csr))
    save_secret(keys.certificate, reply.certificate)
