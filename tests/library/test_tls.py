"""Certificates: a handshake in memory accepts the right party, and only it."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.errors import CollegiumError, Invalid, NotVerified
from collegium.tls import LIFETIME, dns_name, expires_at, identity_of, issue, make_ca, make_key_and_csr, renew_at

NOW = 1_800_000_000.0
CA, CA_KEY = make_ca("example")  # real time: the handshake below asks the real clock
OTHER_CA, OTHER_KEY = make_ca("example")


def clock() -> float:
    return NOW


OLD_CA, OLD_KEY = make_ca("example", clock=clock)


def party(role: str, name: str, ca: bytes = CA, key: bytes = CA_KEY, **options: Any) -> tuple[bytes, bytes]:
    """Private key and certificate chain."""
    private, csr = make_key_and_csr("example", role, name)
    return private, issue(ca, key, csr, role=role, name=name, **options)


def context(folder: Path, purpose: int, private: bytes, chain: bytes, ca: bytes) -> ssl.SSLContext:
    (folder / "key").write_bytes(private)
    (folder / "chain").write_bytes(chain)
    made = ssl.SSLContext(purpose)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=ca.decode())
    made.load_cert_chain(folder / "chain", folder / "key")
    return made


def handshake(folder: Path, server: tuple[bytes, bytes], client: tuple[bytes, bytes], target: str) -> bytes:
    """Mutual TLS through memory; the client's certificate as the server saw it, DER. Raises SSLError when either side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = context(folder, ssl.PROTOCOL_TLS_SERVER, *server, CA).wrap_bio(to_server, to_client, server_side=True)
    asking = context(folder, ssl.PROTOCOL_TLS_CLIENT, *client, CA).wrap_bio(to_client, to_server, server_hostname=target)
    waiting = [asking, serving]
    for _ in range(20):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    seen = serving.getpeercert(binary_form=True)
    assert seen is not None
    return seen


def test_a_node_and_the_coordinator_know_each_other(tmp_path: Path) -> None:
    coordinator, node = party("coordinator", "coordinator"), party("node", "ustc")
    assert identity_of(handshake(tmp_path, coordinator, node, dns_name("coordinator"))) == ("example", "node", "ustc")
    assert identity_of(handshake(tmp_path, node, coordinator, "ustc.collegium")) == ("example", "coordinator", "coordinator")


def test_hosts_are_valid_too_and_the_identity_stays(tmp_path: Path) -> None:
    coordinator = party("coordinator", "coordinator", hosts=["127.0.0.1", "localhost", "::1", "localhost", "*.example.edu"])
    for target in ("127.0.0.1", "localhost", "::1", "a.example.edu", "coordinator.collegium"):
        handshake(tmp_path, coordinator, party("researcher", "rita"), target)
    assert identity_of(coordinator[1]) == ("example", "coordinator", "coordinator")


def long_ago() -> float:
    return time.time() - 7200


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "another party's name": ("Hostname mismatch", {"server": party("node", "ustc")}),
    "a researcher as a server": ("certificate purpose", {"server": party("researcher", "rita"), "target": "rita.collegium"}),
    "another authority's server": ("verify failed", {"server": party("coordinator", "coordinator", OTHER_CA, OTHER_KEY)}),
    "another authority's client": ("verify failed", {"client": party("node", "ustc", OTHER_CA, OTHER_KEY)}),
    "an expired server": ("has expired", {"server": party("coordinator", "coordinator", lifetime=60, clock=long_ago)}),
    "an expired client": ("has expired", {"client": party("node", "ustc", lifetime=60, clock=long_ago)}),
    "an authority as a server": ("verify failed", {"server": (CA_KEY, CA)}),
}


@pytest.mark.parametrize(("reason", "case"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_parties_are_refused(tmp_path: Path, reason: str, case: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"server": party("coordinator", "coordinator"), "client": party("node", "ustc")}
    handshake(tmp_path, **usual, target="coordinator.collegium")
    with pytest.raises(ssl.SSLError, match=reason):
        handshake(tmp_path, **(usual | {"target": "coordinator.collegium"} | case))


def test_an_issued_certificate_issues_nothing(tmp_path: Path) -> None:
    private, chain = party("node", "ustc")
    leaf = x509.load_pem_x509_certificates(chain)[0]
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    _, csr = make_key_and_csr("example", "coordinator", "coordinator")
    with pytest.raises(Invalid):  # its subject names no federation
        issue(leaf.public_bytes(serialization.Encoding.PEM), private, csr, role="coordinator", name="coordinator")


def test_names_in_the_request_are_ignored() -> None:
    _, csr = make_key_and_csr("example", "coordinator", "coordinator")
    chain = issue(CA, CA_KEY, csr, role="researcher", name="rita")
    leaf = x509.load_pem_x509_certificates(chain)[0]
    assert identity_of(chain) == ("example", "researcher", "rita")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["rita.collegium"]
    assert len(list(names)) == 2


def test_life_and_renewal() -> None:
    _, csr = make_key_and_csr("example", "node", "ustc")
    chain = issue(OLD_CA, OLD_KEY, csr, role="node", name="ustc", clock=clock)
    assert expires_at(chain) == NOW + LIFETIME
    assert renew_at(chain) == NOW + LIFETIME * 2 / 3
    for lifetime in (60, 1200, 7200):  # shorter than, and around, the hour by which certificates are backdated
        short = issue(OLD_CA, OLD_KEY, csr, role="node", name="ustc", lifetime=lifetime, clock=clock)
        assert expires_at(short) == NOW + lifetime
        assert renew_at(short) == NOW + lifetime * 2 / 3


def test_no_certificate_outlives_the_authority() -> None:
    _, csr = make_key_and_csr("example", "node", "ustc")
    end = expires_at(OLD_CA)
    assert expires_at(issue(OLD_CA, OLD_KEY, csr, role="node", name="ustc", clock=lambda: end - 100)) == end
    with pytest.raises(Invalid, match="no life"):
        issue(OLD_CA, OLD_KEY, csr, role="node", name="ustc", clock=lambda: end)
    for lifetime in (0.0, -5.0):
        with pytest.raises(Invalid, match="no life"):
            issue(OLD_CA, OLD_KEY, csr, role="node", name="ustc", lifetime=lifetime, clock=clock)


def foreign_csr(key: Any, algorithm: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


GOOD_CSR = make_key_and_csr("example", "node", "ustc")[1]
BAD_CSRS = {
    "empty": b"",
    "text": b"hello",
    "PEM": b"-----BEGIN CERTIFICATE REQUEST-----\n",
    "huge": GOOD_CSR + b"\0" * 20_000,
    "trailing byte": GOOD_CSR + b"\0",
    "bad signature": GOOD_CSR[:-1] + bytes([GOOD_CSR[-1] ^ 1]),
    "RSA": foreign_csr(rsa.generate_private_key(65537, 2048), hashes.SHA256()),
    "Ed25519": foreign_csr(ed25519.Ed25519PrivateKey.generate(), None),
    "P-384": foreign_csr(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()),
    "a certificate": x509.load_pem_x509_certificate(CA).public_bytes(serialization.Encoding.DER),
}


@pytest.mark.parametrize("csr", BAD_CSRS.values(), ids=BAD_CSRS.keys())
def test_bad_requests_are_invalid(csr: bytes) -> None:
    with pytest.raises(Invalid):
        issue(CA, CA_KEY, csr, role="node", name="ustc")


@given(st.integers(0, len(GOOD_CSR) - 1), st.binary(min_size=1, max_size=3))
@settings(deadline=None, max_examples=300)
def test_mutated_requests_raise_only_our_errors(place: int, patch: bytes) -> None:
    changed = GOOD_CSR[:place] + patch + GOOD_CSR[place + len(patch) :]
    try:
        issue(CA, CA_KEY, changed, role="node", name="ustc")
    except CollegiumError:
        return
    assert changed == GOOD_CSR


WRONG_IDENTITIES = [
    ("node", "coordinator"),
    ("coordinator", "ustc"),
    ("registry", "registry"),
    ("node", "registry"),
    ("researcher", "coordinator"),
    ("node", "A"),
    ("node", "a/../b"),
    ("", ""),
]


@pytest.mark.parametrize(("role", "name"), WRONG_IDENTITIES)
def test_identities_that_do_not_exist_get_no_certificate(role: str, name: str) -> None:
    with pytest.raises(Invalid):
        issue(CA, CA_KEY, GOOD_CSR, role=role, name=name)
    with pytest.raises(Invalid):
        make_key_and_csr("example", role, name)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "coordinator.collegium",
        "X.COLLEGIUM",
        "*.collegium",
        "ustc.collegium.",
        "*",
        "*.*.edu",
        "a b",
        "a\nb",
        "a" * 300,
        "é.edu",
        "-a.edu",
    ],
)
def test_hosts_that_are_none_or_another_partys_are_refused(host: str) -> None:
    with pytest.raises(Invalid):
        issue(CA, CA_KEY, GOOD_CSR, role="node", name="ustc", hosts=[host])


def certificate_with(*names: x509.GeneralName) -> bytes:
    key = serialization.load_pem_private_key(CA_KEY, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    ca = x509.load_pem_x509_certificate(CA)
    builder = x509.CertificateBuilder(ca.subject, ca.subject, key.public_key(), 1, ca.not_valid_before_utc, ca.not_valid_after_utc)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


URI = x509.UniformResourceIdentifier
NO_PARTY = {
    "no names": certificate_with(),
    "no URI": certificate_with(x509.DNSName("ustc.collegium")),
    "two URIs": certificate_with(URI("collegium:example/node/a"), URI("collegium:example/node/b")),
    "unknown role": certificate_with(URI("collegium:example/registry/a")),
    "longer path": certificate_with(URI("collegium:example/node/a/b")),
    "another scheme": certificate_with(URI("https://example/node/a")),
    "the authority": CA,
    "empty": b"",
    "text": b"hello",
    "broken PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("certificate", NO_PARTY.values(), ids=NO_PARTY.keys())
def test_certificates_that_name_no_party(certificate: bytes) -> None:
    with pytest.raises(NotVerified):
        identity_of(certificate)


@given(st.binary(max_size=100) | st.integers(0, 300).map(lambda n: certificate_with(URI("collegium:example/node/a"))[:n]))
@settings(deadline=None, max_examples=100)
def test_hostile_certificates_raise_only_our_errors(certificate: bytes) -> None:
    for read in (identity_of, renew_at, expires_at):
        with pytest.raises(CollegiumError):
            read(certificate)


def test_an_authority_needs_its_own_key() -> None:
    with pytest.raises(Invalid, match="not that of the authority"):
        issue(CA, OTHER_KEY, GOOD_CSR, role="node", name="ustc")
    with pytest.raises(Invalid):
        issue(CA, b"no key", GOOD_CSR, role="node", name="ustc")
    with pytest.raises(Invalid):
        make_ca("Not A Name")
