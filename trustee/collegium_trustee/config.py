"""trustee.toml as one frozen object. Unknown keys are refused. Everything has a default: an empty file is a good one.

A complete example, which is also the manual::

    [coordinator]
    proxy = ""                            # an HTTP CONNECT proxy, http://host:port

    [limits]
    max_parallel = 2                      # steps of rounds worked on at the same time; the others wait

    [keeping]
    overlap_days = 7                      # a month's sealing key serves plans that end so long after the month
    seeds_days = 14                       # seeds wait so long after a plan's deadline for its close, and are then deleted
    masks_days = 90                       # an answer is given again so long

    [metrics]
    listen = ""                           # "127.0.0.1:9464": Prometheus may fetch the figures there; loopback only
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from collegium.errors import Invalid
from collegium.observing.settings import MetricsConfig
from collegium_trustee.rounds import Keeping

__all__ = ["CoordinatorConfig", "KeepingConfig", "LimitsConfig", "TrusteeConfig", "parse_config", "read_config"]

Days = Annotated[int, Field(ge=1, le=3650)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CoordinatorConfig(_Frozen):
    proxy: Annotated[str, StringConstraints(pattern=r"^(http://\S+)?$")] = ""


class LimitsConfig(_Frozen):
    max_parallel: Annotated[int, Field(ge=1, le=64)] = 2


class KeepingConfig(_Frozen):
    """See `collegium_trustee.rounds.Keeping`."""

    overlap_days: Days = 7
    seeds_days: Days = 14
    masks_days: Days = 90

    @property
    def keeping(self) -> Keeping:
        return Keeping(overlap=self.overlap_days, seeds=self.seeds_days, masks=self.masks_days)


class TrusteeConfig(_Frozen):
    """The whole of trustee.toml."""

    coordinator: CoordinatorConfig = CoordinatorConfig()
    limits: LimitsConfig = LimitsConfig()
    keeping: KeepingConfig = KeepingConfig()
    metrics: MetricsConfig = MetricsConfig()


def parse_config(text: str, place: str) -> TrusteeConfig:
    """The configuration. Raises Invalid, with the place of the first mistake."""
    try:
        return TrusteeConfig.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid(str(error), place=place, remedy="Correct the TOML there.") from None
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = f"{place}: {'.'.join(str(part) for part in detail['loc'])}"
        if detail["type"] == "extra_forbidden":
            raise Invalid("there is no such key", place=where, remedy="Take it out or correct its spelling.") from None
        raise Invalid(detail["msg"].removeprefix("Value error, "), place=where) from None


def read_config(path: Path) -> TrusteeConfig:
    """The configuration from its file. Raises Invalid when it is not there or wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Invalid("there is no such file", place=str(path), remedy="Make one with `collegium-trustee init`.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot be read: {error}", place=str(path)) from None
    return parse_config(text, str(path))
