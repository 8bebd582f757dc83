"""What `collegium verify` does with a bundle file, and how it says that something has verified."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from collegium.bundle import Verified
from collegium.errors import Invalid
from collegium.wording import FOOTER

__all__ = ["checked_text", "verify_bundle_file"]


def verify_bundle_file(file: Path, policy: Path | None, *, figures: bool, as_json: bool) -> None:
    """Print that the file verifies, and under which key. `policy`: the trust file that says whose key it ought to be.

    Raises NotVerified or Invalid: the file or the trust file is not what it ought to be.
    """
    from collegium.bundlefile import verify_file
    from collegium.log.trust import Trust

    try:
        trusted = Trust.parse(policy.read_bytes(), place=str(policy)) if policy is not None else None
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", place=str(policy)) from None
    checked, registry, bundle = verify_file(file, trusted)
    key = registry.registry_key.vkey
    if as_json:
        tree = {
            "request": checked.id,
            "signatures": checked.signatures,
            "verified": True,
            "federation": registry.federation,
            "registry": key,
            "registry_trusted": trusted is not None,
            "questions": len(checked.request.questions),
            "figures": len(checked.figures),
        }
        _say(json.dumps(tree))
        return
    _say(checked_text(checked))
    if figures:
        from rich.console import Console

        from collegium.answer import Answer
        from collegium.show import renderable

        Console(highlight=False).print(renderable(Answer(checked, bundle, registry)))
    if trusted is None:
        _say(f"Under the registry key of the file itself. It proves the figure only if this is the federation's own key:\n{key}")
    else:
        _say(f"Federation {registry.federation}, under the registry log of {policy}.")


def checked_text(checked: Verified) -> str:
    """What was verified of one request, for a person."""
    releases = sum(len(figures.accounts.releases) for figures in checked.figures if not figures.rounds)
    rounds = sum(len(figures.rounds) for figures in checked.figures)
    text = f"{checked.id[:12]}  {checked.signatures} signatures, {releases} releases added again: verified"
    if rounds:
        sums = "1 national sum" if rounds == 1 else f"{rounds} national sums"
        text += f"\n{sums}: every step signed and logged. {FOOTER['en']['unseen']}"
    return text


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
