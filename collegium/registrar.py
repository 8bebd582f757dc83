"""The rules by which one more registry entry is accepted. Pure: entries in, verified state out; `collegium.registry` drives it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace

from cryptography import x509

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.keys import RESERVED, invitation_name, log_name, statements_name, witness_name
from collegium.log.cosign import CosignerVerifier
from collegium.log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from collegium.log.note import Verifier, open_note
from collegium.log.statement import MAX_STATEMENT, statement_id
from collegium.registration import (
    CatalogueEntry,
    Federation,
    Invitation,
    Partition,
    Party,
    Revocation,
    Role,
    SchemaEntry,
    WitnessedLog,
    Witnesses,
    cosigner_of,
    read_registration,
    verifier_of,
)
from collegium.schema import Schema, parse_schema

__all__ = ["Founding", "Invited", "Registered", "State"]


@dataclass(frozen=True, slots=True)
class Founding:
    """The first entry and its four keys."""

    body: Federation
    registry: Verifier
    registry_log: Verifier
    coordinator: Verifier
    coordinator_log: Verifier


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation in the registry. `closed` is the index of the entry that redeemed or cancelled it."""

    body: Invitation
    index: int
    key: Verifier
    closed: int | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A party as registered by entry `index`. `ended` is the index of the entry that revoked it or replaced its keys."""

    name: str
    role: Role
    facts: dict[str, str]
    enrolment: int  # persons, a public figure; 0 when unknown
    statements: Verifier
    log: Verifier | None  # nodes and trustees only
    cosigner: CosignerVerifier | None  # nodes and trustees only
    index: int
    ended: int | None = None
    revoked: bool = False


@dataclass(slots=True)
class State:
    """All that the entries so far say. Trusted with the answer to "whose key is this"; it is rebuilt from entries, never stored."""

    pinned: Verifier | None
    tree: Frontier = field(default_factory=Frontier)
    roots: list[bytes] = field(default_factory=lambda: [EMPTY_ROOT])  # by size
    founding: Founding | None = None
    schemas: dict[str, Schema] = field(default_factory=dict)
    schema: Schema | None = None
    catalogues: dict[str, CatalogueEntry] = field(default_factory=dict)  # by NAME/VERSION, oldest first
    invitations: dict[str, Invited] = field(default_factory=dict)  # by statement id
    parties: dict[str, tuple[Registered, ...]] = field(default_factory=dict)  # by name, oldest first
    keys: dict[bytes, str] = field(default_factory=dict)  # every public key ever named, and the name it had
    seen: set[str] = field(default_factory=set)  # statement ids
    witnesses: dict[str, tuple[tuple[int, WitnessedLog], ...]] = field(default_factory=dict)  # by origin: (entry, assignment)
    partitions: tuple[tuple[int, Partition], ...] = ()  # (entry, partition), oldest first

    @property
    def size(self) -> int:
        return self.tree.size

    @property
    def root(self) -> bytes:
        return self.roots[-1]

    def copy(self) -> State:
        """An independent state; what it holds is immutable and shared."""
        return State(
            self.pinned,
            self.tree.copy(),
            list(self.roots),
            self.founding,
            dict(self.schemas),
            self.schema,
            dict(self.catalogues),
            dict(self.invitations),
            dict(self.parties),
            dict(self.keys),
            set(self.seen),
            dict(self.witnesses),
            self.partitions,
        )

    def add(self, entry: bytes) -> None:
        """Verify one entry after all before it, and take it over. On an error the state must be thrown away.

        1. It is a statement of at most 65,535 bytes, of the kind registration, of a form this version knows entirely; and its text
           is not in the registry already.
        2. The first entry, and only the first, founds the federation: its registry key is the pinned one and has signed it; its
           four keys have their proper names and are different keys.
        3. Everything but a Party is signed by the registry key.
        4. A schema is well formed, keeps its name, has a higher version than all before, and leaves every dataset its privacy unit:
           budgets are kept by unit, and a dataset under another one would begin a new sum.
        5. An invitation names a free name (or `replaces` a registered one of the same role), facts of the newest schema, and a
           one-time key that no entry has named before.
        6. A Party answers an invitation that is open: not redeemed, not cancelled, not expired at the time the Party states. It has
           the invited name and role.
        7. It is signed by the one-time key and by its own statement key, and, when it replaces a party, by that party's old key.
        8. Its keys have their proper names and no entry has named them before. (A replacement may keep its log's and cosigner's.)
        9. A revocation names a registered party or an open invitation, and ends the party and every open invitation to the name.

        10. Witnesses are assigned to logs of the federation: of its registry, its coordinator, its nodes and trustees that are not
           revoked. Each log has 3 to 5 witnesses and a quorum any two of which share an honest one, or none and 0; every witness is
           a node or trustee that is not revoked, and not the one whose log it is.
        11. A catalogue of indicators is TOML that says the entry's name, version and schema; the schema is there, and the version
           higher than all before of that name.
        12. A partition is of a fact of the newest schema, and of codes of it.

        Raises NotVerified where the chain is broken, Invalid where the entry cannot be read.
        """
        place = f"registry entry {self.size}"
        try:
            # (1)
            body = read_registration(entry)
            identity = statement_id(entry)
            if identity in self.seen:
                raise NotVerified("the same statement is in the registry already")
            if isinstance(body, Federation):
                self._found(entry, body)  # (2)
            elif isinstance(body, SchemaEntry):
                self._signed_by_registry(entry)  # (3)
                self._new_schema(body)  # (4)
            elif isinstance(body, CatalogueEntry):
                self._signed_by_registry(entry)  # (3)
                self._new_catalogue(body)  # (11)
            elif isinstance(body, Invitation):
                self._signed_by_registry(entry)  # (3)
                self._invite(identity, body)  # (5)
            elif isinstance(body, Party):
                self._register(entry, body)  # (6), (7), (8)
            elif isinstance(body, Revocation):
                self._signed_by_registry(entry)  # (3)
                self._revoke(body)  # (9)
            elif isinstance(body, Partition):
                self._signed_by_registry(entry)  # (3)
                self._part(body)  # (12)
            else:
                self._signed_by_registry(entry)  # (3)
                self._assign(body)  # (10)
        except NotVerified as error:
            raise NotVerified(error.text, place=_join(place, error), remedy=error.remedy, reason="identity") from None
        except CollegiumError as error:
            raise Invalid(error.text, place=_join(place, error), remedy=error.remedy, reason="identity") from None
        self.seen.add(identity)
        self.tree.append(leaf_hash(entry))
        self.roots.append(self.tree.root())

    def _found(self, entry: bytes, body: Federation) -> None:
        if self.founding is not None:
            raise NotVerified("the federation is founded once")
        name = body.federation
        registry = verifier_of(body.registry, statements_name(name, "registry"), "registry")
        if self.pinned is not None and registry != self.pinned:
            raise NotVerified("the registry key is not the one that this machine pinned when it joined")
        open_note(entry, [registry], limit=MAX_STATEMENT)
        founding = Founding(
            body,
            registry,
            verifier_of(body.registry_log, log_name(name, "registry"), "registry_log"),
            verifier_of(body.coordinator, statements_name(name, "coordinator"), "coordinator"),
            verifier_of(body.coordinator_log, log_name(name, "coordinator"), "coordinator_log"),
        )
        for key in (founding.registry, founding.registry_log, founding.coordinator, founding.coordinator_log):
            self._claim(key)
        try:
            x509.load_pem_x509_certificate(body.ca.encode())
        except ValueError:
            raise Invalid("this is not a certificate", place="ca") from None
        self.founding = founding

    def _signed_by_registry(self, entry: bytes) -> None:
        open_note(entry, [self._founded().registry], limit=MAX_STATEMENT)

    def _new_schema(self, body: SchemaEntry) -> None:
        try:
            schema = parse_schema(body.toml)
        except (ArithmeticError, ValueError):  # numbers beyond what the parser can hold
            raise Invalid("the schema cannot be read", place="schema") from None
        if (schema.name, schema.version) != (body.name, body.version):
            raise NotVerified("the entry names another schema than its text")
        if self.schema is not None and (schema.name != self.schema.name or schema.version <= self.schema.version):
            raise NotVerified(f"a schema that follows {self.schema.id} keeps its name and has a higher version")
        for earlier in self.schemas.values():
            for name, dataset in earlier.datasets.items():
                if name in schema.datasets and schema.datasets[name].unit != dataset.unit:
                    raise NotVerified(f"the dataset {name!r} is of privacy unit {dataset.unit!r} for ever; give it another name")
        self.schemas[schema.id] = self.schema = schema

    def _new_catalogue(self, body: CatalogueEntry) -> None:
        # What the text means is judged where it is used: a registry must not become unreadable when that form grows.
        try:
            said = tomllib.loads(body.toml)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError):  # ValueError: an integer of thousands of digits
            raise Invalid("the catalogue cannot be read", place="catalogue") from None
        version = said.get("version")
        if type(version) is not int or (said.get("name"), version, said.get("schema")) != (body.name, body.version, body.fits):
            raise NotVerified("the entry names another catalogue than its text")
        if body.fits not in self.schemas:
            raise NotVerified(f"there is no schema {body.fits} before it")
        if any(each.name == body.name and each.version >= body.version for each in self.catalogues.values()):
            raise NotVerified(f"a new version of the catalogue {body.name!r} has a higher number than all before")
        self.catalogues[f"{body.name}/{body.version}"] = body

    def _invite(self, identity: str, body: Invitation) -> None:
        if body.name in RESERVED:
            raise NotVerified(f"the name {body.name!r} is reserved")
        current = self._current(body.name)
        if body.replaces and (current is None or current.role != body.role):
            raise NotVerified(f"there is no {body.role} {body.name!r} whose keys could be replaced")
        if not body.replaces and current is not None:
            raise NotVerified(f"the name {body.name!r} is taken")
        if body.role != "node" and (body.facts or body.enrolment):
            raise NotVerified("only nodes have facts and an enrolment")
        for fact, code in body.facts.items():
            known = self.schema.facts.get(fact) if self.schema is not None else None
            if self.schema is None or known is None or code not in self.schema.codes[known.codes]:
                raise NotVerified(f"the newest schema has no code {code!r} of a fact {fact!r}")
        key = verifier_of(body.key, invitation_name(self._founded().body.federation, body.name), "key")
        self._claim(key)
        self.invitations[identity] = Invited(body, self.size, key)

    def _register(self, entry: bytes, body: Party) -> None:
        federation = self._founded().body.federation
        # (6)
        invited = self.invitations.get(body.invitation)
        if invited is None:
            raise NotVerified("there is no such invitation before it")
        if invited.closed is not None:
            raise NotVerified("the invitation was redeemed or cancelled before", remedy="Ask for a new token.")
        if body.time > invited.body.expiry:
            raise NotVerified("the invitation had expired", remedy="Ask for a new token.")
        if (body.name, body.role) != (invited.body.name, invited.body.role):
            raise NotVerified("it has another name or role than the invitation")
        if {body.log is not None, body.cosigner is not None} != {body.role != "researcher"}:
            raise NotVerified("a node or trustee has a log and a cosigner key, and a researcher has neither")
        current = self._current(body.name)
        if current is not None and not invited.body.replaces:
            raise NotVerified(f"the name {body.name!r} is taken")
        if current is None and invited.body.replaces:
            raise NotVerified(f"there is no {body.name!r} any more whose keys could be replaced")
        # (7)
        statements = verifier_of(body.statements, statements_name(federation, body.name), "statements")
        signers = [invited.key, statements] + ([current.statements] if current is not None else [])
        open_note(entry, signers, need=len(signers), limit=MAX_STATEMENT)
        # (8)
        self._claim(statements)
        log = verifier_of(body.log, log_name(federation, body.name), "log") if body.log is not None else None
        if log is not None and (current is None or log != current.log):
            self._claim(log)
        cosigner = None
        if body.cosigner is not None:
            cosigner = cosigner_of(body.cosigner, witness_name(federation, body.name), "cosigner")
            if current is None or cosigner != current.cosigner:
                self._claim(cosigner)
        self.invitations[body.invitation] = replace(invited, closed=self.size)
        if current is not None:
            self._end(body.name, revoked=False)
        facts, enrolment = dict(invited.body.facts), invited.body.enrolment
        party = Registered(body.name, body.role, facts, enrolment, statements, log, cosigner, self.size)
        self.parties[body.name] = (*self.parties.get(body.name, ()), party)

    def _revoke(self, body: Revocation) -> None:
        still_open = [key for key, each in self.invitations.items() if each.body.name == body.name and each.closed is None]
        current = self._current(body.name)
        if current is None and not still_open:
            raise NotVerified(f"there is no {body.name!r} to revoke")
        # A second, unredeemed invitation to the name would otherwise let its holder back in.
        for key in still_open:
            self.invitations[key] = replace(self.invitations[key], closed=self.size)
        if current is not None:
            self._end(body.name, revoked=True)

    def _assign(self, body: Witnesses) -> None:
        founding = self._founded()
        federation = founding.body.federation
        nodes = {name for name in self.parties if (found := self._current(name)) is not None and found.role != "researcher"}
        owners = {log_name(federation, name): name for name in nodes}
        origins = {founding.registry_log.name, founding.coordinator_log.name, *owners}
        for log in body.logs:
            if log.origin not in origins:
                raise NotVerified(
                    f"there is no log {log.origin!r}", remedy="Name the registry's, the coordinator's, a node's or a trustee's log."
                )
            strangers = sorted(set(log.witnesses) - nodes)
            if strangers:
                raise NotVerified(f"{strangers[0]!r} is no node or trustee that could witness {log.origin}")
            if owners.get(log.origin) in log.witnesses:
                raise NotVerified(f"{owners[log.origin]!r} cannot witness its own log")
            self.witnesses[log.origin] = (*self.witnesses.get(log.origin, ()), (self.size, log))

    def _part(self, body: Partition) -> None:
        known = self.schema.facts.get(body.fact) if self.schema is not None else None
        codes = set(self.schema.codes[known.codes]) if self.schema is not None and known is not None else set()
        strange = [code for group in body.groups for code in group if code not in codes]
        if not codes or strange:
            what = f"code {strange[0]!r} of a fact" if codes else "fact"
            raise NotVerified(f"the newest schema has no {what} {body.fact!r}")
        self.partitions = (*self.partitions, (self.size, body))

    def _founded(self) -> Founding:
        if self.founding is None:
            raise NotVerified("the first entry founds the federation")
        return self.founding

    def _current(self, name: str) -> Registered | None:
        history = self.parties.get(name)
        return history[-1] if history and history[-1].ended is None else None

    def _end(self, name: str, *, revoked: bool) -> None:
        history = self.parties[name]
        self.parties[name] = (*history[:-1], replace(history[-1], ended=self.size, revoked=revoked))

    def _claim(self, key: Verifier | CosignerVerifier) -> None:
        """A key has one name for ever: nothing signed under one name can be read as another's, and revoked keys stay out."""
        if key.raw in self.keys:
            raise NotVerified(f"the key of {key.name} is already that of {self.keys[key.raw]}", remedy="Make a new key.")
        self.keys[key.raw] = key.name


def _join(place: str, error: CollegiumError) -> str:
    return f"{place}, {error.place}" if error.place else place
