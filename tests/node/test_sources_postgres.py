"""PostgreSQL as a source, against a real server from Debian's packages: read-only, of one moment, errors without data."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi
from campus import SCHEMA, SECRET, config, rows_of

from collegium.errors import CollegiumError, Invalid, Offline, Refused
from collegium_node.config import NodeConfig
from collegium_node.prepare import prepare
from collegium_node.sources import read_source


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def another_user() -> str | None:
    """PostgreSQL refuses to run as root; tests in a container usually are."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The connection string of a fresh server on a Unix socket, with one table."""
    binaries = programs()
    if binaries is None or not (binaries / "postgres").exists():
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    user = another_user()
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path is short, and the other user must reach it
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        create: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "steward",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        subprocess.run(create, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        run: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-F"]
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(run, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            dsn = f"postgresql:///postgres?host={folder}&user=steward"
            _fill(dsn)
            yield dsn
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            (folder.parent / f"{folder.name}.log").unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(dsn: str) -> None:
    for _ in range(300):
        try:
            connection = dbapi.connect(dsn, autocommit=True)
            break
        except AdbcError:
            time.sleep(0.1)
    else:
        pytest.fail("the PostgreSQL server did not start")
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE marks (id bigint, sex text, field char(2), passed boolean, year smallint, gpa numeric(6,4))")
        cursor.execute(
            "INSERT INTO marks VALUES (1, 'Male', '01', true, 2020, 3.575), (1, 'Male', '01', NULL, 2021, 2.5), "
            "(2, NULL, '08', false, 2020, NULL), (NULL, 'Male', '01', true, 2020, 1), (3, 'canary', '02', true, 2050, 'NaN')"
        )


def postgres(folder: Path, dsn: str, query: str) -> NodeConfig:
    columns = """
        [datasets.course]
        source = "rows"
        person = "id"
        [datasets.course.columns]
        gender = { column = "sex", map = { Male = "1" } }
        discipline = "field"
        passed = "passed"
        year = "year"
        gpa = "gpa"
    """
    return config(folder, f'[sources.rows]\nkind = "postgres"\ndsn = "{dsn}"\nquery = """{query}"""\n', columns)


def test_rows_of_every_type_are_prepared_as_from_a_file(server: str, tmp_path: Path) -> None:
    prepared = prepare("course", postgres(tmp_path, server, "SELECT * FROM marks"), SCHEMA, SECRET)
    (tmp_path / "rows.csv").write_text(
        "id,sex,field,passed,year,gpa\n1,Male,01,t,2020,3.575\n1,Male,01,,2021,2.5\n2,,08,f,2020,\n3,canary,02,t,2050,NaN\n"
    )
    files = config(
        tmp_path,
        '[sources.rows]\nkind = "csv"\npath = "rows.csv"\n',
        """
        [datasets.course]
        source = "rows"
        person = "id"
        [datasets.course.columns]
        gender = { column = "sex", map = { Male = "1" } }
        discipline = "field"
        passed = "passed"
        year = "year"
        gpa = "gpa"
        """,
    )
    same = prepare("course", files, SCHEMA, SECRET)
    assert prepared.frame.equals(same.frame)
    assert prepared.row_digest.tolist() == same.row_digest.tolist()
    assert prepared.frame["gpa"].to_list().count(358) == 1


def test_a_query_without_rows_still_has_columns(server: str, tmp_path: Path) -> None:
    (batch,) = read_source("rows", postgres(tmp_path, server, "SELECT id, gpa FROM marks WHERE false"), ["gpa"])
    assert batch.frame.columns == ["gpa"]
    assert batch.frame.height == 0


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM marks",
        "WITH gone AS (DELETE FROM marks RETURNING *) SELECT * FROM gone",
        "INSERT INTO marks (id) VALUES (9) RETURNING id",
        "UPDATE marks SET gpa = 4 RETURNING id",
        "CREATE TABLE copy AS SELECT * FROM marks",
        "SELECT * INTO copy FROM marks",
        "DROP TABLE marks",
        "COMMIT; DELETE FROM marks",
        "SELECT id FROM marks; COMMIT; DELETE FROM marks",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false)::text AS id, "
        "(SELECT count(*) FROM query_to_xml('DELETE FROM marks', true, true, '')) AS n",
    ],
)
def test_a_query_that_writes_fails_and_changes_nothing(server: str, tmp_path: Path, query: str) -> None:
    with pytest.raises((Refused, Invalid)) as caught:
        rows_of(postgres(tmp_path, server, query))
    assert caught.value.place.endswith("sources.rows")
    assert rows_of(postgres(tmp_path, server, "SELECT id FROM marks")).height == 5


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT sexe FROM marks", "sexe"),
        ("SELEC id FROM marks", "SELEC"),
        ("SELECT CAST(sex AS int) AS gpa FROM marks WHERE id = 3", "a value cannot be converted"),
        ("SELECT id FROM marks", "there is no column 'gpa'"),
    ],
)
def test_a_wrong_query_is_named_with_its_source_and_without_data(server: str, tmp_path: Path, query: str, text: str) -> None:
    with pytest.raises(CollegiumError) as caught:
        list(read_source("rows", postgres(tmp_path, server, query), ["gpa"]))
    assert caught.value.place.endswith("sources.rows")
    assert text in caught.value.text
    assert "canary" not in str(caught.value)


def test_a_database_that_is_not_there_is_offline_and_its_password_not_shown(tmp_path: Path) -> None:
    with pytest.raises(Offline) as caught:
        rows_of(postgres(tmp_path, f"postgresql://steward:hunter2@/postgres?host={tmp_path}", "SELECT 1"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.place.endswith("sources.rows")


def test_a_bytes_column_is_refused_by_its_type(server: str, tmp_path: Path) -> None:
    query = "SELECT decode('ff', 'hex') AS id, sex, field, passed, year, gpa FROM marks"
    with pytest.raises(Invalid, match="Cast it to text"):
        prepare("course", postgres(tmp_path, server, query), SCHEMA, SECRET)
