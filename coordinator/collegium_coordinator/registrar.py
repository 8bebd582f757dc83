"""The registrar: who may take part. The only code that opens the registry key.

The key lies in a directory of its own, apart from the coordinator's home, and may stay on a medium that is plugged in for
`invite`, `revoke`, `schema` and `catalogue` alone. `serve` imports nothing from this file.

Registry key: trusted with who is who; an attacker who holds it can add a false researcher or node. Nodes name researchers by key
in their policies and watch the registry for their own name, so that even this is seen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collegium.errors import Failed, Invalid
from collegium.keys import check_name, invitation_name, load_signer, log_name, save_signer, statements_name
from collegium.log.note import Signer
from collegium.registration import (
    MAX_WITNESSES,
    MIN_WITNESSES,
    CatalogueEntry,
    Federation,
    Invitation,
    Partition,
    Revocation,
    Role,
    SchemaEntry,
    WitnessedLog,
    Witnesses,
    least_quorum,
)
from collegium.registry import Registry
from collegium.schema import parse_schema
from collegium.token import make_token
from collegium_coordinator.ca import Authority
from collegium_coordinator.config import Asking, Certificates, Config, Home, Listen, Public, read_config, write_config
from collegium_coordinator.mirror import Mirror
from collegium_coordinator.permit import missing, not_confirmed, restored, server_has_confirmed
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.standing import Standing
from collegium_coordinator.store import Store

__all__ = ["Founded", "Registrar", "assignments", "init", "seconds_of"]

KEY_FILE = "registry"
LOGS_BYTES = 48_000  # of assignments in one entry of at most 65,535 bytes: a country's logs take several

_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Founded:
    """What `init` made."""

    home: Path
    registry: Path
    registry_vkey: str


def seconds_of(duration: str) -> int:
    """Seconds of a duration such as 30m, 12h or 7d."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise Invalid(f"{duration!r} is no duration", place="--expires", remedy="Write a number and m, h or d, such as 7d.")
    return int(match[1]) * _SECONDS[match[2]]


def init(
    home: Home,
    registry: Path,
    *,
    federation: str,
    schema: str,
    delta: str,
    listen: Listen,
    public: Public,
    clock: Callable[[], float],
) -> Founded:
    """Found a federation: keys, authority, database, and the first two entries of the registry.

    1. Everything is checked before anything is written, and nothing that exists is overwritten.
    2. The registry key is made in its own directory.
    3. The coordinator's keys and its certificate authority are made in its home.
    4. The federation's entry and the schema are signed and logged.
    5. The settings are written last: a home without them is not a coordinator, and `init` may be repeated after removing it.
    """
    # (1)
    check_name(federation, place="--federation")
    parsed = parse_schema(schema)
    if registry.resolve() == home.path.resolve() or home.path.resolve() in registry.resolve().parents:
        raise Invalid(
            "the registry key must not lie in the coordinator's home",
            place=str(registry),
            remedy="Choose a directory apart from it.",
        )
    for path in (home.config, home.database, home.keys, registry / KEY_FILE):
        if path.exists():
            raise Invalid("there is something already", place=str(path), remedy="Choose another directory.")
    config_parts = Public.model_validate(public.model_dump())
    now = int(clock())
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    # (2)
    registrar = Signer.generate(statements_name(federation, "registry"))
    save_signer(registry / KEY_FILE, registrar)
    # (3)
    registry_log = Signer.generate(log_name(federation, "registry"))
    statements = Signer.generate(statements_name(federation, "coordinator"))
    own_log = Signer.generate(log_name(federation, "coordinator"))
    save_signer(home.registry_log_key, registry_log)
    save_signer(home.statements_key, statements)
    save_signer(home.log_key, own_log)
    ca = Authority.create(home, federation, clock=clock)
    # (4)
    entry = Federation(
        federation=federation,
        registry=registrar.vkey,
        registry_log=registry_log.vkey,
        coordinator=statements.vkey,
        coordinator_log=own_log.vkey,
        ca=ca.decode(),
        delta=delta,
        time=now,
    )
    first = SchemaEntry(name=parsed.name, version=parsed.version, toml=schema, time=now)
    store = Store(home.database, create=True)
    try:
        log = RegistryLog(store, registrar.vkey, registry_log)
        log.append(entry.sign(registrar))
        log.append(first.sign(registrar))
    finally:
        store.close()
    # (5)
    config = Config(
        federation=federation,
        registry=registrar.vkey,
        listen=listen,
        public=config_parts,
        asking=Asking(),
        certificates=Certificates(),
    )
    write_config(home, config)
    return Founded(home.path, registry, registrar.vkey)


class Registrar:
    """An opened registry key and the registry it signs for. Used by one command and closed."""

    def __init__(self, home: Home, registry: Path, *, clock: Callable[[], float], unconfirmed: bool = False) -> None:
        """`unconfirmed`: sign although the registry's witnesses have not confirmed this database: see `permit`."""
        self._home = home
        self._clock = clock
        self.config = read_config(home)
        path = registry / KEY_FILE
        if not path.exists():
            raise Invalid(
                "the registry key is not there",
                place=str(path),
                remedy="Plug in its medium, or name its directory with --registry.",
            )
        self._signer = load_signer(path)
        if self._signer.vkey != self.config.registry:
            raise Invalid(
                "this is another federation's registry key", place=str(path), remedy="Name its directory with --registry."
            )
        self._store = Store(home.database)
        self._log = RegistryLog(self._store, self.config.registry, load_signer(home.registry_log_key))
        self._log.guard = lambda: self._refusal(unconfirmed=unconfirmed)

    def close(self) -> None:
        self._store.close()

    def _refusal(self, *, unconfirmed: bool) -> Failed | None:
        """What speaks against signing in this process: this database is an old copy, or nobody vouches that it is none."""
        if self._home.mirror.exists():
            mirror = Mirror(self._home.mirror)
            try:
                lost = missing(mirror, self._log)
            finally:
                mirror.close()
            if lost is not None:
                return restored(self._log.origin, lost[0], lost[1].size)
        if self.config.mirror.own:  # a second copy that is ahead says the same, without anybody's word
            try:
                Standing(Path(self.config.mirror.own), self._home.database).bring_up()
            except Failed as error:
                return error
        witnessed = self._log.registry.witnesses_of(self._log.origin)[1] > 0
        if witnessed and not unconfirmed and not server_has_confirmed(self._home.lock):
            return not_confirmed(self._log.origin)
        return None

    def invite(
        self,
        role: Role,
        name: str,
        *,
        facts: Mapping[str, str],
        enrolment: int = 0,
        expires: int,
        replaces: bool = False,
        address: str = "",
    ) -> str:
        """A token that lets `name` join once, within `expires` seconds. It is shown once and kept nowhere.

        Args:
            facts: public facts of a node, by name; every fact of the schema is needed.
            enrolment: known number of persons, a public figure; 0 when unknown.
            replaces: the name is registered and its holder changes its keys. Facts and enrolment stay unless others are given.
            address: host:port of a node that listens; the coordinator then dials it.
        """
        check_name(name)
        if replaces and role == "node" and not facts:  # the same university with other keys
            party = self._log.registry.party(name)
            facts, enrolment = party.facts, enrolment or party.enrolment
        self._check_facts(role, facts)
        one_time = Signer.generate(invitation_name(self.config.federation, name))
        now = int(self._clock())
        invitation = Invitation(
            role=role,
            name=name,
            facts=dict(facts),
            enrolment=enrolment,
            expiry=now + expires,
            key=one_time.vkey,
            time=now,
            replaces=True if replaces else None,
        ).sign(self._signer)
        token = make_token(
            address=self.config.public.enrolment,
            service=self.config.public.main,
            ca=self._home.ca_certificate.read_bytes(),
            federation=self.config.federation,
            registry=self.config.registry,
            invitation=invitation,
            one_time=one_time,
        )
        self._log.append(invitation)
        # Crash here: an invitation whose token nobody has seen; it expires. Invite again.
        if address:
            with self._store.transaction() as db:
                db.execute("INSERT OR REPLACE INTO dial VALUES (?, ?)", (name, address))
        return token

    def revoke(self, name: str, reason: str = "") -> None:
        """End a party, or an open invitation. Its key signs nothing that is valid after this entry."""
        self._log.append(Revocation(name=check_name(name), time=int(self._clock()), reason=reason).sign(self._signer))

    def schema(self, text: str) -> str:
        """A new version of the schema; its id."""
        parsed = parse_schema(text)
        entry = SchemaEntry(name=parsed.name, version=parsed.version, toml=text, time=int(self._clock()))
        self._log.append(entry.sign(self._signer))
        return parsed.id

    def catalogue(self, text: str, *, place: str = "catalogue") -> str:
        """A new version of a catalogue of indicators; its id. Raises Invalid with the first thing that is wrong with it."""
        from collegium.indicators.catalogue import parse_catalogue, validate  # conditions need the SQL parser: not for `invite`
        from collegium.indicators.check import check

        registry = self._log.registry
        parsed = parse_catalogue(text, place=place)
        before = [each.toml for each in registry.catalogues.values() if each.name == parsed.name]
        mistakes = check(text, registry.schema, after=validate(before[-1])[0] if before else None)
        if mistakes:
            raise mistakes[0].error(place)
        now = int(self._clock())
        entry = CatalogueEntry(name=parsed.name, version=parsed.version, fits=parsed.schema_id, toml=text, time=now)
        self._log.append(entry.sign(self._signer))
        return parsed.id

    @property
    def registry(self) -> Registry:
        return self._log.registry

    def partition(self, fact: str, groups: Sequence[Sequence[str]]) -> None:
        """From now on national sums are told apart by these groups of codes of a fact."""
        sets = tuple(tuple(group) for group in groups)
        self._log.append(Partition(fact=fact, groups=sets, time=int(self._clock())).sign(self._signer))

    def assign_witnesses(self, each: int) -> list[WitnessedLog]:
        """Give every log `each` witnesses, where there are enough parties; the assignments that changed. See `assignments`."""
        if not MIN_WITNESSES <= each <= MAX_WITNESSES:
            raise Invalid(f"a log has {MIN_WITNESSES} to {MAX_WITNESSES} witnesses", place="--each")
        changed = assignments(self._log.registry, each)
        for part in _parts(changed):
            self._log.append(Witnesses(time=int(self._clock()), logs=tuple(part)).sign(self._signer))
            # Crash here: some logs have their new witnesses and the others their old ones. The same command does the rest.
        return changed

    def _check_facts(self, role: str, facts: Mapping[str, str]) -> None:
        """The registry checks the codes again; this says what is missing, with the flag to use."""
        schema = self._log.registry.schema
        if role != "node" and facts:
            raise Invalid("only nodes have facts", place="--fact", remedy="Leave them out.")
        missing = [name for name in schema.facts if name not in facts] if role == "node" else []
        if missing:
            raise Invalid(f"the fact {missing[0]!r} is missing", place="--fact", remedy=f"Add --fact {missing[0]}=CODE.")
        for name, code in facts.items():
            if name not in schema.facts:
                raise Invalid(
                    f"there is no fact {name!r}", place="--fact", remedy=f"The schema has: {', '.join(sorted(schema.facts))}."
                )
            codes = schema.codes[schema.facts[name].codes]
            if code not in codes:
                raise Invalid(f"{code!r} is no code of {name}", place="--fact", remedy=f"Codes: {_some(list(codes))}.")


def _some(words: Sequence[str], limit: int = 40) -> str:
    return ", ".join(words[:limit]) + (", …" if len(words) > limit else "")


def assignments(registry: Registry, each: int) -> list[WitnessedLog]:
    """The assignments that differ from those in force, sorted by origin.

    Every log gets `each` nodes or trustees other than its owner (fewer, but at least three, where there are no more), and the least
    quorum that the registry accepts. A log keeps the witnesses it has while they are there; the others follow from a hash of log
    and name, so that the work spreads evenly and nobody chooses. A log for which there are fewer than three others goes without.
    """
    nodes = [party for party in registry.nodes_at(registry.size, roles=("node", "trustee")) if party.cosigner is not None]
    owners = {node.log.name: node.name for node in nodes if node.log is not None}
    changed = []
    for origin in sorted({registry.registry_log.name, registry.coordinator_log.name, *owners}):
        held, quorum = registry.witnesses_of(origin)
        others = [node.name for node in nodes if node.name != owners.get(origin)]
        kept = sorted(held)[:each]
        others.sort(key=lambda name: (name not in kept, hashlib.sha256(f"{origin}\n{name}".encode()).digest()))
        chosen = sorted(others[:each]) if len(others) >= MIN_WITNESSES else []
        needed = least_quorum(len(chosen)) if chosen else 0
        if (chosen, needed) != (sorted(held), quorum):
            changed.append(WitnessedLog(origin=origin, witnesses=tuple(chosen), quorum=needed))
    return changed


def _parts(logs: Sequence[WitnessedLog]) -> Iterator[list[WitnessedLog]]:
    """Assignments in order, as many together as fit into an entry."""
    part: list[WitnessedLog] = []
    size = 0
    for log in logs:
        needs = len(log.model_dump_json()) + 1
        if part and size + needs > LOGS_BYTES:
            yield part
            part, size = [], 0
        part.append(log)
        size += needs
    if part:
        yield part
