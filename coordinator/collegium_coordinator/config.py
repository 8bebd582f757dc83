"""The coordinator's settings: one frozen object from `coordinator.toml`; its comments are the manual.

Nothing is read at import. Unknown keys are refused with their place. The file holds no secret.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from collegium.errors import Invalid
from collegium.observing.settings import MetricsConfig

__all__ = ["Asking", "Certificates", "Config", "Home", "Listen", "Mirroring", "National", "Public", "read_config", "write_config"]

Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-\[\]:_]+:[0-9]{1,5}$", max_length=300)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(_Frozen):
    """Where `serve` listens: `main` asks for a client certificate, `enrolment` is where newcomers join."""

    main: Address = "0.0.0.0:7443"
    enrolment: Address = "0.0.0.0:7442"


class Public(_Frozen):
    """What newcomers are told to dial, and the names in the coordinator's certificate."""

    main: Address
    enrolment: Address
    hosts: Annotated[tuple[str, ...], Field(min_length=1, max_length=32)]


class Asking(_Frozen):
    """How questions are fanned out. Seconds and counts."""

    deadline_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    again_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    reconnect_seconds: Annotated[float, Field(ge=0, le=600)] = 70.0
    max_validity_days: Annotated[int, Field(ge=1, le=366)] = 62
    max_questions: Annotated[int, Field(ge=1, le=64)] = 64
    parallel_calls: Annotated[int, Field(ge=1, le=10_000)] = 512


class Certificates(_Frozen):
    """Life of the certificates this coordinator issues. They renew themselves at two thirds of it."""

    days: Annotated[int, Field(ge=1, le=825)] = 90


class Mirroring(_Frozen):
    """Copies, from which somebody who was restored from a backup recovers.

    largest_mib: of each node's log, MiB of entries; 0 keeps none. own: a file for a second copy of our own database.
    """

    largest_mib: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    own: Annotated[str, StringConstraints(max_length=4096)] = ""


class National(_Frozen):
    """Rounds of national sums.

    dropout, colluding: which fractions of the nodes may be missing, or collude or add no noise. seconds: how long nodes have to
    submit. trustee_seconds: how long a plan waits for three trustees. retention_days: how long masked vectors are kept.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    colluding: Annotated[float, Field(ge=0, lt=1)] = 0.05
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    trustee_seconds: Annotated[float, Field(ge=0, le=3600)] = 15.0
    retention_days: Annotated[float, Field(gt=0, le=3650)] = 90.0


class Config(_Frozen):
    """The whole of `coordinator.toml`."""

    federation: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    registry: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    listen: Listen = Listen()
    public: Public
    asking: Asking = Asking()
    certificates: Certificates = Certificates()
    mirror: Mirroring = Mirroring()
    metrics: MetricsConfig = MetricsConfig()
    national: National = National()

    @field_validator("registry")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(character.isspace() for character in value):
            raise ValueError("a verifier key is one word: name+id+key")
        return value

    @property
    def log_origin(self) -> str:
        return f"{self.federation}/coordinator"

    @property
    def registry_origin(self) -> str:
        return f"{self.federation}/registry"


class Home:
    """Where the coordinator keeps what it owns. The registry key is *not* here: it has its own directory, see registrar.py.

    ====================  =========================================================================================
    coordinator.toml      settings
    coordinator.db        registry log, request log, answers (SQLite)
    mirror.db             copies of the nodes' logs; trusted with nothing, read again when lost
    vectors/              masked vectors of national sums, by SHA-256; of no use to anybody without three trustees' masks
    metrics.prom          figures for monitoring, see metrics.py
    serve.lock            held by the serving process; says whether the registry may be signed on
    keys/statements       signs indicators. Trusted with honest addition; an attacker who holds it can sign a wrong
                          figure, which an audit finds
    keys/log              signs the checkpoints of the coordinator's log. An attacker who holds it can show two histories, which
                          witnesses find
    keys/registry-log     orders the registry's entries. An attacker who holds it can hide or delay entries; he cannot
                          make one, because each is signed by the registry key or by the party itself
    keys/ca.key           issues TLS certificates. An attacker who holds it can open connections in a party's name;
                          he can sign no request and no release, because those keys are not in any certificate
    ====================  =========================================================================================
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "coordinator.toml"
        self.database = path / "coordinator.db"
        self.keys = path / "keys"
        self.statements_key = self.keys / "statements"
        self.log_key = self.keys / "log"
        self.registry_log_key = self.keys / "registry-log"
        self.ca_certificate = self.keys / "ca.pem"
        self.ca_key = self.keys / "ca.key"
        self.tls_certificate = self.keys / "tls.pem"
        self.tls_key = self.keys / "tls.key"
        self.mirror = path / "mirror.db"
        self.metrics = path / "metrics.prom"
        self.vectors = path / "vectors"
        self.lock = path / "serve.lock"

    @property
    def default_registry(self) -> Path:
        """Beside the home, never in it: a copy or a theft of the home does not bring the registry key along."""
        absolute = self.path.absolute()
        return absolute.parent / f"{absolute.name}-registry"


def read_config(home: Home) -> Config:
    """The settings of a home. Raises Invalid with the place of the first mistake."""
    place = str(home.config)
    try:
        tree = tomllib.loads(home.config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Invalid(
            "there is no coordinator here",
            place=place,
            remedy="Run `collegium-coordinator init`, or name its directory with --home.",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=place) from None
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise Invalid(detail["msg"], place=f"{place}: {where}", remedy="Correct the setting there.") from None


def write_config(home: Home, config: Config) -> None:
    """The file as `init` leaves it: every setting with what it does. Never overwrites."""
    hosts = ", ".join(f'"{host}"' for host in config.public.hosts)
    text = f"""\
# The coordinator of a Collegium federation. Unknown settings are refused. Restart `serve` after a change.
federation = "{config.federation}"

# The registry's public key. The coordinator starts only if the registry in its database chains up to it.
registry = "{config.registry}"

[listen]
# Nodes and researchers, mutual TLS.
main = "{config.listen.main}"
# Newcomers redeem their invitation here.
enrolment = "{config.listen.enrolment}"

[public]
# What tokens tell newcomers to dial.
main = "{config.public.main}"
enrolment = "{config.public.enrolment}"
# Names and addresses in the coordinator's certificate.
hosts = [{hosts}]

[asking]
# A node that has not answered by then is missing; it may join later.
deadline_seconds = {config.asking.deadline_seconds}
# Held and missing nodes are asked again this often, the more seldom the older the request.
again_seconds = {config.asking.again_seconds}
# After a restart: how long to wait for nodes that were connected before.
reconnect_seconds = {config.asking.reconnect_seconds}
# A request may not be valid for longer.
max_validity_days = {config.asking.max_validity_days}
# In one request.
max_questions = {config.asking.max_questions}
# Calls to nodes at once.
parallel_calls = {config.asking.parallel_calls}

[certificates]
# Life of the certificates this coordinator issues; they renew themselves at two thirds of it.
days = {config.certificates.days}

[mirror]
# Every node's log is copied here (signed statements, nothing exact), so that a node restored from a backup can recover.
# MiB for each log at most; 0 copies nothing.
largest_mib = {config.mirror.largest_mib}
# A second copy of this coordinator's database, brought up to date before anything new goes out: `recover` takes it when the
# database is lost. Another disk than the database's. Empty: none.
own = "{config.mirror.own}"

[metrics]
# Where Prometheus may fetch the figures of metrics.prom, a loopback address such as "127.0.0.1:9464". Empty: no port.
listen = "{config.metrics.listen}"

[national]
# Sums that reveal no university: which fraction of the nodes may drop out of a round, and which may collude or add no noise.
# The more is tolerated, the more noise is in the figure; a round of fewer fails, and what its nodes were charged is not given back.
dropout = {config.national.dropout}
colluding = {config.national.colluding}
# How long nodes have to submit after the plan is logged.
seconds = {config.national.seconds}
# Masked vectors are files in `vectors/`: 8 bytes for each cell and node. Older ones are deleted; the signed figures stay.
retention_days = {config.national.retention_days}
"""
    with home.config.open("x", encoding="utf-8") as file:
        file.write(text)
