"""The certificate authority at the coordinator: who may open a connection.

A certificate says which line one talks on and nothing else. What counts (requests, decisions, releases, registrations) is signed
with keys that no certificate holds. Trusted with admission to the transport; an attacker who holds the authority's key can connect
in a party's name, listen and delay, and can sign neither a request nor a release.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from collegium.errors import Invalid, NotVerified
from collegium.keys import save_secret
from collegium.tls import expires_at, issue, make_ca, make_key_and_csr, renew_at
from collegium_coordinator.config import Home

__all__ = ["Authority", "fingerprint"]


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate's DER, hex. Takes PEM (the first of a chain)."""
    try:
        der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    except ValueError:
        raise NotVerified("this is not a certificate", place="certificate") from None
    return hashlib.sha256(der).hexdigest()


class Authority:
    """The federation's authority, from the files of a home."""

    def __init__(self, home: Home, federation: str, *, lifetime: float, clock: Callable[[], float]) -> None:
        self._home = home
        self._federation = federation
        self._lifetime = lifetime
        self._clock = clock
        try:
            self.certificate = home.ca_certificate.read_bytes()
            self._key = home.ca_key.read_bytes()
        except OSError as error:
            raise Invalid(
                f"the certificate authority cannot be read: {error.strerror}",
                place=str(home.ca_key),
                remedy="Restore the keys directory from its backup.",
            ) from None

    @staticmethod
    def create(home: Home, federation: str, *, clock: Callable[[], float]) -> bytes:
        """Make the authority and keep it; its certificate in PEM."""
        certificate, key = make_ca(federation, clock=clock)
        save_secret(home.ca_key, key)
        save_secret(home.ca_certificate, certificate)
        return certificate

    def issue(self, csr: bytes, *, role: str, name: str) -> bytes:
        """A certificate chain for a party whose registration the caller has verified. Raises Invalid for a bad request."""
        return issue(self.certificate, self._key, csr, role=role, name=name, lifetime=self._lifetime, clock=self._clock)

    def own_certificate(self, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """The coordinator's own key and certificate chain (PEM), made anew when there is none or two thirds of its life are over.

        The key is new with every certificate. Crash between the two writes: key and certificate do not fit, and are made anew.
        """
        with contextlib.suppress(OSError, NotVerified):
            key, chain = self._home.tls_key.read_bytes(), self._home.tls_certificate.read_bytes()
            if renew_at(chain) > self._clock() and _fits(key, chain) and _hosts_of(chain) >= set(hosts):
                return key, chain
        key, csr = make_key_and_csr(self._federation, "coordinator", "coordinator")
        chain = issue(
            self.certificate,
            self._key,
            csr,
            role="coordinator",
            name="coordinator",
            hosts=hosts,
            lifetime=self._lifetime,
            clock=self._clock,
        )
        save_secret(self._home.tls_key, key, replace=True)
        save_secret(self._home.tls_certificate, chain, replace=True)
        return key, chain

    def own_renewal(self) -> float:
        """Unix time at which the coordinator's own certificate is to be renewed; 0 when there is none."""
        try:
            return renew_at(self._home.tls_certificate.read_bytes())
        except (OSError, NotVerified):
            return 0.0

    def ends(self) -> float:
        """Unix time at which the authority's own certificate ends."""
        return expires_at(self.certificate)


def _fits(key_pem: bytes, chain: bytes) -> bool:
    try:
        key = load_pem_private_key(key_pem, password=None)
        return bool(key.public_key() == x509.load_pem_x509_certificate(chain).public_key())
    except ValueError:
        return False


def _hosts_of(chain: bytes) -> set[str]:
    names = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))
