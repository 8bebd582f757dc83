"""Certificates of the federation: one authority at the coordinator, P-256 keys made where they are used.

A certificate names its holder in a URI `collegium:<federation>/<role>/<name>`. Every certificate also has the DNS name
`<name>.collegium`, which is what clients check: addresses may change and nobody's certificate with them. TLS proves which line one
talks on and no more: whatever counts is signed with keys that TLS never sees.

Trusted with: the authority's key admits to the transport. An attacker who holds it can connect, listen and delay; it can sign
neither a request nor a release.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import time
from collections.abc import Callable, Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collegium.errors import Invalid, NotVerified
from collegium.keys import check_name

__all__ = [
    "LIFETIME",
    "Clock",
    "dns_name",
    "expires_at",
    "identity_of",
    "issue",
    "make_ca",
    "make_key_and_csr",
    "renew_at",
]

Clock = Callable[[], float]

LIFETIME = 90 * 86_400.0  # seconds
_CA_LIFETIME = 20 * 365 * 86_400.0
_BACKDATE = 3_600.0  # seconds; a party whose clock is a little behind must be able to use its new certificate at once
_MAX_CSR = 16_384  # bytes
_ROLES = ("coordinator", "node", "researcher", "trustee")
_URI = re.compile(r"collegium:([a-z][a-z0-9-]{0,62})/(coordinator|node|researcher|trustee)/([a-z][a-z0-9-]{0,62})")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63}){0,10}")


def dns_name(name: str) -> str:
    """The name to check in a party's certificate: gRPC's `ssl_target_name_override`."""
    return f"{name}.collegium"


def make_ca(federation: str, *, clock: Clock = time.time) -> tuple[bytes, bytes]:
    """A new authority: its certificate and its private key, PEM."""
    check_name(federation, place="federation")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Collegium {federation}"[:64]),
        ]
    )
    now = clock()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - _BACKDATE))
        .not_valid_after(_moment(now + _CA_LIFETIME))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)


def make_key_and_csr(federation: str, role: str, name: str) -> tuple[bytes, bytes]:
    """A new private key (PEM, PKCS 8) and its signing request (DER). The authority reads nothing from it but the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    uri = x509.UniformResourceIdentifier(_uri(federation, role, name))
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _private_pem(key), request.public_bytes(serialization.Encoding.DER)


def issue(
    ca_cert: bytes,
    ca_key: bytes,
    csr_der: bytes,
    *,
    role: str,
    name: str,
    hosts: Iterable[str] = (),
    lifetime: float = LIFETIME,
    clock: Clock = time.time,
) -> bytes:
    """A certificate (PEM, followed by the authority's) for a party whose identity the CALLER has established.

    1. The request is a P-256 one whose signature proves that the sender holds the key. Its names are ignored.
    2. The identity is the caller's: federation from the authority, role and name as registered.
    3. Only those who serve get the server's usage; hosts under `.collegium` are refused, they would name another party.
    4. The certificate never outlives the authority.

    Raises Invalid for a bad request or host. `lifetime` in seconds.
    """
    # (1)
    public = _csr_key(csr_der)
    # (2)
    authority, key = _authority(ca_cert, ca_key)
    uri = _uri(_federation_of(authority), role, name)
    # (3)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), x509.DNSName(dns_name(name))]
    names += [_host(host) for host in dict.fromkeys(hosts)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role != "researcher":
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    # (4)
    now = clock()
    end = min(_moment(now + lifetime), authority.not_valid_after_utc)
    if lifetime <= 0 or end <= _moment(now):
        raise Invalid(
            "the certificate would have no life", place="certificate", remedy="Check the clock and the authority's expiry."
        )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - _BACKDATE))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem) + authority.public_bytes(pem)


def identity_of(certificate: bytes) -> tuple[str, str, str]:
    """Federation, role and name in a certificate (PEM or DER) that TLS has already verified. Raises NotVerified."""
    try:
        extension = _load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        raise NotVerified("the certificate names no party of a federation", place="certificate") from None
    match = _URI.fullmatch(uris[0]) if len(uris) == 1 else None
    if match is None:
        raise NotVerified("the certificate names no party of a federation", place="certificate")
    federation, role, name = match.groups()
    return federation, role, name


def renew_at(certificate: bytes) -> float:
    """Unix time at two thirds of the certificate's life, counted from when it was issued: then it is renewed.

    A certificate is valid from an hour before that; counted from there, one of an hour would be due the moment it is made.
    """
    loaded = _load(certificate)
    end = loaded.not_valid_after_utc.timestamp()
    issued = min(loaded.not_valid_before_utc.timestamp() + _BACKDATE, end)
    return issued + (end - issued) * 2 / 3


def expires_at(certificate: bytes) -> float:
    """Unix time of the certificate's end."""
    return _load(certificate).not_valid_after_utc.timestamp()


def _load(certificate: bytes) -> x509.Certificate:
    try:
        if certificate.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(certificate)
        return x509.load_der_x509_certificate(certificate)
    except (ValueError, x509.InvalidVersion):
        raise NotVerified("this is not a certificate", place="certificate") from None


def _csr_key(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    if len(csr_der) > _MAX_CSR:
        raise Invalid(f"a signing request has at most {_MAX_CSR} bytes", place="signing request")
    try:
        request = x509.load_der_x509_csr(csr_der)
        public = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
        raise Invalid("this is not a signing request", place="signing request") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1) or not proven:
        raise Invalid("a signing request is for a P-256 key and signed by it", place="signing request")
    return public


def _authority(ca_cert: bytes, ca_key: bytes) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    authority = _load(ca_cert)
    try:
        key = serialization.load_pem_private_key(ca_key, password=None)
    except (ValueError, TypeError):
        raise Invalid("this is not the authority's key", place="certificate authority") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        raise Invalid("the key is not that of the authority's certificate", place="certificate authority")
    return authority, key


def _federation_of(authority: x509.Certificate) -> str:
    attributes = authority.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if len(attributes) != 1:
        raise Invalid("the authority's certificate names no federation", place="certificate authority")
    return str(attributes[0].value)


def _uri(federation: str, role: str, name: str) -> str:
    check_name(federation, place="federation")
    if role not in _ROLES or (role == "coordinator") != (name == "coordinator"):
        raise Invalid(f"there is no {role!r} of the name {name!r}", place="certificate")
    check_name(name, reserved=role == "coordinator")
    return f"collegium:{federation}/{role}/{name}"


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not _HOST.fullmatch(host) or len(host) > 253 or host.lower().rstrip(".").endswith((".collegium", "*.collegium")):
        raise Invalid(f"{host!r} is no host name or address for a certificate", place="host")
    return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
