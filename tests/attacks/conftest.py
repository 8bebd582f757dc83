"""Makes the federations that attacks are committed against importable by the tests beside it: `realfed` in one process, quick;
`company` of real processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (  # launch.py, small.py, madenational.py, ours
    HERE.parent.parent / "examples" / "higher-education", HERE.parent / "system", HERE.parent / "library" / "audit", HERE,
):  # fmt: skip
    sys.path.insert(0, str(folder))

from company import Base  # noqa: E402 - not before its folder is found


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Made once; every attack gets a copy."""
    return Base(tmp_path_factory.mktemp("company"))


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The same, with trustees."""
    return Base(tmp_path_factory.mktemp("sums"), trustees=True)
