"""The folder of one researcher: key, certificate, and what is known of the federation.

    config.json     which federation, under which name, where; the registry key pinned by the token
    keys/           the signing key. Trusted with asking in this researcher's name; who holds it can spend that researcher's limit.
                    Beside it the certificate for connections; who holds that can connect, not sign
    registry.jsonl  the registry as far as it has been verified here (base64, one entry a line); refetched when lost

Nothing here is read at import.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from collegium.enrolment import Keys
from collegium.errors import Invalid
from collegium.keys import save_secret
from collegium.registry import Registry

__all__ = ["Home", "Membership", "default_home"]


@dataclass(frozen=True, slots=True)
class Membership:
    """Who this is, in which federation, and where it is reached."""

    federation: str
    name: str
    registry_key: str
    service: str
    enrolment: str
    ca: str


def default_home() -> Path:
    """$COLLEGIUM_HOME, else the user's configuration folder."""
    named = os.environ.get("COLLEGIUM_HOME")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "collegium"


@dataclass(frozen=True, slots=True)
class Home:
    """The researcher's folder; every method reads the files anew."""

    path: Path

    @property
    def joined(self) -> bool:
        return (self.path / "config.json").exists()

    def membership(self) -> Membership:
        """Raises Invalid when this folder has not joined a federation."""
        place = self.path / "config.json"
        try:
            return Membership(**json.loads(place.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise Invalid(
                "you have not joined a federation here",
                place=str(self.path),
                remedy="Type `collegium join TOKEN` with the token from the ministry, or set COLLEGIUM_HOME.",
            ) from None
        except (ValueError, TypeError, OSError) as error:
            raise Invalid(f"cannot be read: {error}", place=str(place), remedy="Join again with a new token.") from None

    def remember(self, membership: Membership) -> None:
        """Written last of all when joining: a folder without it has not joined."""
        text = json.dumps(asdict(membership), indent=1, ensure_ascii=False) + "\n"
        save_secret(self.path / "config.json", text.encode(), replace=True)

    @property
    def keys(self) -> Keys:
        return Keys(self.path / "keys")

    def registry(self) -> Registry:
        """The registry as verified here so far. A damaged cache counts as empty: it is fetched and verified again."""
        registry = Registry(self.membership().registry_key)
        cache = self.path / "registry.jsonl"
        if not cache.exists():
            return registry
        try:
            lines = cache.read_text(encoding="ascii").splitlines()
            notes = [base64.b64decode(line, validate=True) for line in lines]
            registry.extend(notes[1:], notes[0] or None)
        except (Invalid, ValueError, IndexError, OSError):
            return Registry(self.membership().registry_key)
        return registry

    def save_registry(self, registry: Registry) -> None:
        notes = [registry.checkpoint or b"", *registry.entries]
        text = b"\n".join(base64.b64encode(note) for note in notes) + b"\n"
        save_secret(self.path / "registry.jsonl", text, replace=True)
