"""trustee.toml: what `init` writes is good as it is and with every line uncommented, and what nobody knows is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from collegium.errors import Invalid
from collegium_trustee import config
from collegium_trustee.config import TrusteeConfig, parse_config, read_config
from collegium_trustee.init import TRUSTEE_TOML, init
from collegium_trustee.rounds import Keeping


def test_init_makes_the_file_once_and_its_comments_are_the_defaults(tmp_path: Path) -> None:
    made = init(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b" / "trustee.toml"
    assert read_config(made) == TrusteeConfig()
    made.write_text("[limits]\nmax_parallel = 3\n")
    assert init(made.parent) is None
    assert read_config(made).limits.max_parallel == 3


def test_every_commented_line_is_a_setting() -> None:
    text = "\n".join(line.removeprefix("# ") if "=" in line else line for line in TRUSTEE_TOML.splitlines())
    full = parse_config(text, "trustee.toml")
    assert full.coordinator.proxy == "http://proxy.example.org:3128"
    assert full.metrics.listen == "127.0.0.1:9464"
    assert full.keeping == TrusteeConfig().keeping
    assert TrusteeConfig().keeping.keeping == Keeping()


def test_the_manual_is_a_configuration() -> None:
    manual = (config.__doc__ or "").partition("::\n")[2]
    assert parse_config(manual, "manual") == TrusteeConfig()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[limits\n", "trustee.toml"),
        ("colour = 1\n", "trustee.toml: colour"),
        ("[keeping]\nmonths = 1\n", "trustee.toml: keeping.months"),
        ("[keeping]\noverlap_days = 0\n", "trustee.toml: keeping.overlap_days"),
        ('[coordinator]\nproxy = "socks://x"\n', "trustee.toml: coordinator.proxy"),
        ('[metrics]\nlisten = "0.0.0.0:9464"\n', "trustee.toml: metrics.listen"),
    ],
)
def test_what_is_wrong_is_named(text: str, place: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_config(text, "trustee.toml")
    assert refused.value.place == place
