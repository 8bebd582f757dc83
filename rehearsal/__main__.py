"""A country on one machine: `python -m rehearsal --nodes 3074`, or `make rehearsal NODES=3074`."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console

from collegium.errors import CollegiumError
from collegium.transport.files import raise_file_limit
from rehearsal.play import Play

RUN = Path(__file__).parent.parent / "run" / "rehearsal"


def main() -> None:
    parser = argparse.ArgumentParser(prog="rehearsal", description="Rehearse a country of universities on this machine.")
    parser.add_argument("--nodes", type=int, default=300, help="universities")
    parser.add_argument("--tunnels", type=int, help="of them with a tunnel of their own; default: as many as the machine bears")
    parser.add_argument("--hosts", type=int, default=2, help="processes that serve the universities between them")
    parser.add_argument("--persons", type=int, default=200, help="invented graduates of a university, about")
    parser.add_argument("--witnesses", type=int, default=0, help="of each university's log: 0, or 3 to 5 others")
    parser.add_argument("--epsilon", default="0.5", help="cost of each question")
    parser.add_argument("--restart", action="store_true", help="kill the coordinator once, and see everybody come back")
    parser.add_argument("--folder", type=Path, default=RUN, help="where everything lies; emptied first")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--json", type=Path, help="write what is said at the end to this file too")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    console = Console(width=132, highlight=False)
    files = raise_file_limit()
    shutil.rmtree(given.folder, ignore_errors=True)
    (given.folder / "logs").mkdir(parents=True)
    play = Play(
        given.folder.absolute(), console, nodes=given.nodes, tunnels=given.tunnels, hosts=given.hosts, persons=given.persons,
        witnesses=given.witnesses, epsilon=given.epsilon, restart=given.restart, files=files,
    )  # fmt: skip
    code = 1
    try:
        play.run()
        code = 0
    except KeyboardInterrupt:
        console.print("\nStopped. What was found until then:")
    except CollegiumError as error:
        console.print(f"[bold]The rehearsal ended early:[/] {error}")
        play.report.troubles.append(str(error))
    finally:
        play.end()
    play.report.show(console)
    if given.json:
        given.json.write_text(json.dumps(json.loads(play.report.to_json()), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if not given.keep:
        shutil.rmtree(given.folder, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
