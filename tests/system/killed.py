"""The real programs, each of which ends itself with kill -9 at a chosen point.

    python killed.py node POINT NUMBER HOME                 serve; "<begin|commit|committed> <purpose>" of the database
    python killed.py trustee POINT NUMBER HOME              the same of a trustee
    python killed.py coordinator POINT NUMBER HOME          serve; begin, commit, committed of any transaction
    python killed.py node-export STEP NUMBER HOME FOLDER    `log export`; a step of the disk: write, fsync, rename, sync, remove
    python killed.py coordinator-export STEP NUMBER HOME FOLDER

It happens at the NUMBERth time that the point is reached. Nothing else differs from the installed commands.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from collegium.keys import load_signer
from collegium.log.disk import Disk
from collegium.party.publish import export
from collegium.party.store import Fault, no_fault
from collegium_coordinator.config import Home as Ministry
from collegium_coordinator.config import read_config
from collegium_coordinator.cosigning import Cosigned
from collegium_coordinator.journal import Journal
from collegium_coordinator.logs import Source, export_logs
from collegium_coordinator.registrylog import RegistryLog
from collegium_coordinator.serve import serve as serve_coordinator
from collegium_coordinator.store import Store
from collegium_node.home import Home, Node
from collegium_node.serve import serve as serve_node
from collegium_trustee.home import Home as TrusteeHome
from collegium_trustee.home import Trustee
from collegium_trustee.serve import serve as serve_trustee

dies: Fault = no_fault


class Dying(Home):
    """A node's folder whose database kills the process."""

    def open(self, clock: Callable[[], float], *, fault: Fault = no_fault, verify: bool = False) -> Node:
        return super().open(clock, fault=dies, verify=verify)


class DyingTrustee(TrusteeHome):
    """The same of a trustee."""

    def open(self, clock: Callable[[], float], *, fault: Fault = no_fault, verify: bool = False) -> Trustee:
        return super().open(clock, fault=dies, verify=verify)


def at(point: str, number: int) -> Fault:
    seen: Counter[str] = Counter()

    def fault(step: str) -> None:
        seen[step] += 1
        if step == point and seen[step] >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


def coordinator_export(home: Path, folder: Path, disk: Disk) -> None:
    """As in `collegium_coordinator.log_cli`."""
    where = Ministry(home)
    store = Store(where.database)
    registry = RegistryLog(store, read_config(where).registry, load_signer(where.registry_log_key))
    journal = Journal(store, registry, load_signer(where.statements_key), load_signer(where.log_key), clock=time.time)
    sources = {
        "registry": Source(store, Cosigned(store, registry, registry), "registry"),
        "coordinator": Source(store, Cosigned(store, registry, journal), "entries"),
    }
    export_logs(sources, folder, disk=disk)
    store.close()


if __name__ == "__main__":
    what, dies = sys.argv[1], at(sys.argv[2], int(sys.argv[3]))
    paths = [Path(each) for each in sys.argv[4:]]
    breaking = Disk(lambda step, _: dies(step))
    if what == "node":
        sys.exit(int(serve_node(Dying(paths[0]))))
    elif what == "trustee":
        sys.exit(int(serve_trustee(DyingTrustee(paths[0]))))
    elif what == "coordinator":
        asyncio.run(serve_coordinator(Ministry(paths[0]), None, started=lambda _: None, fault=dies))
    elif what == "node-export":
        export(Home(paths[0]).open(time.time), paths[1], disk=breaking)
    else:
        coordinator_export(*paths, breaking)
