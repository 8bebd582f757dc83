"""Generates collegium/v1 from protos/, or with --check says what differs from what is committed."""

import filecmp
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
INIT = '"""Generated from protos/ by `make proto`; never edited."""\n'


def generate(target: Path) -> None:
    protos = sorted(str(path) for path in (ROOT / "protos/collegium/v1").glob("*.proto"))
    known = Path(grpc_tools.__file__).parent / "_proto"
    flags = [f"-I{ROOT / 'protos'}", f"-I{known}", f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}"]
    if protoc.main(["protoc", *flags, *protos]) != 0:
        raise SystemExit("protoc refused; see above")
    (target / "collegium/v1/__init__.py").write_text(INIT)


def same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)


def main() -> None:
    if "--check" not in sys.argv:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, committed = Path(folder) / "collegium/v1", ROOT / "collegium/v1"
        names = {p.name for p in (*fresh.glob("*.py*"), *committed.glob("*.py*"))}
        wrong = sorted(name for name in names if not same(fresh / name, committed / name))
        if wrong:
            raise SystemExit(f"collegium/v1 is not what protos/ gives: {', '.join(wrong)}. Run `make proto` and commit.")


main()
