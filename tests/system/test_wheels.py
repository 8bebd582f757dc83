"""Each of the four distributions is a wheel that installs alone, with the pinned versions and no others, and runs.

Quick: the wheels are built and read. Long: each is installed into an empty environment, every requirement by its hash, every
module imported and the command run. What a researcher, the ministry or a trustee installs can neither hold rows nor draw noise: no
dataframe engine and no noise library is anywhere in it, however indirectly.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
SOURCES = {"collegium": ROOT} | {f"collegium-{name}": ROOT / name for name in ("node", "coordinator", "trustee")}
PACKAGES = {name: name.replace("-", "_") for name in SOURCES}
FORBIDDEN = {"polars", "polars-runtime-32", "opendp", "numba", "llvmlite", "duckdb", "pyarrow", "pandas", "adbc-driver-manager"}
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""


@dataclass(frozen=True)
class Wheel:
    """A built wheel: its metadata, and the files in it."""

    file: Path
    metadata: Message
    names: tuple[str, ...]
    scripts: str

    @property
    def requirements(self) -> list[Requirement]:
        return [Requirement(text) for text in self.metadata.get_all("Requires-Dist") or []]


@dataclass(frozen=True)
class Pin:
    """One entry of requirements.txt: all of its lines, and what they say."""

    version: Version
    applies: bool
    text: str


def clean() -> dict[str, str]:
    """An environment without this project in it; pip's own settings stay."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COLLEGIUM", "PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, env=clean())


def pip(python: str | Path, *words: str | Path) -> str:
    done = run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", *words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """All of them, built without looking for anything on any network."""
    folder = tmp_path_factory.mktemp("wheels")
    pip(
        sys.executable,
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        *(f"{path}" for path in SOURCES.values()),
    )
    built = {}
    for file in folder.glob("*.whl"):
        with zipfile.ZipFile(file) as archive:
            (meta,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(archive.read(meta).decode())
            scripts = archive.read(meta.replace("METADATA", "entry_points.txt")).decode()
            built[canonicalize_name(str(metadata["Name"]))] = Wheel(file, metadata, tuple(archive.namelist()), scripts)
    return built


@pytest.fixture(scope="module")
def pins() -> dict[str, Pin]:
    """requirements.txt by name, as it applies to this Python."""
    found: dict[str, Pin] = {}
    for text in re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text(encoding="utf-8")):
        requirement = Requirement(text.split("\\")[0].strip())
        (version,) = (each.version for each in requirement.specifier)
        applies = requirement.marker is None or requirement.marker.evaluate()
        name = canonicalize_name(requirement.name)
        if applies or name not in found:
            found[name] = Pin(Version(version), applies, text)
    return found


def closure(wheels: dict[str, Wheel], name: str) -> Iterator[str]:
    """Every distribution that installing this one brings along, by what the installed ones say they need."""
    seen: set[str] = set()
    waiting = list(wheels[name].requirements)
    while waiting:
        requirement = waiting.pop()
        need = canonicalize_name(requirement.name)
        if need in seen or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(need)
        yield need
        if need in wheels:
            waiting += wheels[need].requirements
            continue
        try:
            waiting += [Requirement(text) for text in distribution(need).requires or []]
        except PackageNotFoundError:
            raise AssertionError(f"{name} needs {need}, which `make setup` does not install") from None


DATA = {
    "collegium": {"collegium/indicators/site/style.css"},
    "collegium-coordinator": {"collegium_coordinator/catalogue/higher-education.toml"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_its_own_package_and_command_and_nothing_else(wheels: dict[str, Wheel], name: str) -> None:
    wheel, package = wheels[name], PACKAGES[name]
    inside = {entry.split("/")[0] for entry in wheel.names}
    assert inside == {package, f"{package}-{wheel.metadata['Version']}.dist-info"}
    assert f"{package}/cli.py" in wheel.names
    assert f"{package}/py.typed" in wheel.names
    data = {entry for entry in wheel.names if not entry.endswith((".py", ".pyi", "/py.typed")) and ".dist-info/" not in entry}
    assert data == DATA.get(name, set())
    assert f"{name}={package}.cli:main" in wheel.scripts.replace(" ", "")
    ours = {str(path.relative_to(SOURCES[name])) for path in (SOURCES[name] / package).rglob("*.py")}
    assert ours == {entry for entry in wheel.names if entry.endswith(".py")}


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_wheel_needs_is_pinned_and_hashed(wheels: dict[str, Wheel], pins: dict[str, Pin], name: str) -> None:
    for requirement in wheels[name].requirements:
        need = canonicalize_name(requirement.name)
        version = wheels[need].metadata["Version"] if need in wheels else str(pins[need].version)
        assert requirement.specifier.contains(version), f"{requirement} and the pin {version}"
    for need in set(closure(wheels, name)) - set(wheels):
        assert need in pins, f"{need}, which {name} brings along, is not in requirements.txt"
        assert pins[need].applies
        assert "--hash=sha256:" in pins[need].text


@pytest.mark.parametrize("name", ["collegium", "collegium-coordinator", "collegium-trustee"])
def test_all_but_the_node_bring_no_engine_and_no_noise(wheels: dict[str, Wheel], name: str) -> None:
    assert not FORBIDDEN & set(closure(wheels, name))
    assert {"polars", "opendp", "numba"} <= set(closure(wheels, "collegium-node"))  # the same look finds them where they are


def test_requirements_name_no_registry() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=", ""), re.MULTILINE)


@pytest.fixture(scope="module")
def registry(pins: dict[str, Pin], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips when no package registry answers; a registry that gives other bytes than the hashes say is no reason to skip."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "one.txt").write_text(pins["mdurl"].text, encoding="utf-8")
    words = ["download", "--quiet", "--no-deps", "--require-hashes", "--retries", "1", "--timeout", "20", "-d", str(folder)]
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *words, "-r", folder / "one.txt")
    if done.returncode and "hash" not in done.stderr.lower():
        pytest.skip(f"no package registry can be reached: {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", SOURCES)
def test_it_installs_alone_into_an_empty_environment_and_runs(
    wheels: dict[str, Wheel], pins: dict[str, Pin], tmp_path: Path, name: str
) -> None:
    needs = set(closure(wheels, name))
    ours = [wheels[each].file for each in (name, *sorted(needs & set(wheels)))]
    (tmp_path / "pins.txt").write_text("".join(pins[each].text + "\n" for each in sorted(needs - set(wheels))), encoding="utf-8")
    done = run(sys.executable, "-m", "venv", tmp_path / "venv")
    assert done.returncode == 0, done.stderr
    python = tmp_path / "venv" / "bin" / "python"
    pip(python, "install", "--quiet", "--no-deps", "--require-hashes", "-r", tmp_path / "pins.txt")
    pip(python, "install", "--quiet", "--no-deps", "--no-index", *ours)
    pip(python, "check")  # everything that anything there declares is there, in a version it takes
    there = {canonicalize_name(each["name"]) for each in json.loads(pip(python, "list", "--format", "json"))}
    assert there <= needs | {name, "pip", "setuptools"}
    if name != "collegium-node":
        assert not there & FORBIDDEN
    done = run(python, "-c", IMPORT_ALL, PACKAGES[name])
    assert done.returncode == 0, done.stderr
    command = tmp_path / "venv" / "bin" / name
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    done = run(command, "version")
    assert (done.returncode, done.stdout.strip()) == (0, wheels[name].metadata["Version"])
    _first_use(name, command, tmp_path)


def _first_use(name: str, command: Path, folder: Path) -> None:
    """The first thing that its user types."""
    home = str(folder / "home")
    if name == "collegium":
        done = run(command, "nodes", "--home", home)
        assert done.returncode == 2
        assert "collegium join TOKEN" in done.stderr
    elif name == "collegium-node":
        assert run(command, "init", "--home", home).returncode == 0
        assert (folder / "home" / "node.toml").exists()
        done = run(command, "doctor", "--home", home)
        assert "join" in done.stdout
    elif name == "collegium-trustee":
        assert run(command, "init", home).returncode == 0
        assert (folder / "home" / "trustee.toml").exists()
        done = run(command, "status", "--home", home)
        assert done.returncode == 2
        assert "collegium-trustee join TOKEN" in done.stderr
    else:
        schema = ROOT / "tests" / "system" / "data" / "campus.toml"
        done = run(command, "init", "--federation", "small", "--schema", schema, "--host", "127.0.0.1", "--home", home)
        assert done.returncode == 0, done.stderr
        assert run(command, "invite", "researcher", "li-wei", "--home", home).stdout.startswith("collegium1.")
