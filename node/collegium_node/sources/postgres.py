"""A query on PostgreSQL through ADBC, in a session that can only read.

Three locks, each enough alone: the session's default is read-only, the transaction is declared READ ONLY before the query runs (and
PostgreSQL lets no query undo that), and the login given by the steward should have no right to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from collegium.errors import Invalid, Offline, Refused
from collegium_node.config import PostgresConfig, dsn_of
from collegium_node.sources.base import Batch, frame_of, require

__all__ = ["PostgresSource"]


class PostgresSource:
    """One query on one database. All its batches come from one transaction, so they are of one moment."""

    def __init__(self, config: PostgresConfig, place: str) -> None:
        self.config = config
        self.place = place

    def batches(self, wanted: Sequence[str] | None) -> Iterator[Batch]:
        dsn = dsn_of(self.config, self.place)
        try:
            connection = dbapi.connect(dsn)
        except AdbcError:
            # libpq's text may repeat the connection string.
            raise Offline(
                "the database cannot be reached", place=self.place, remedy="Check the connection string, the login and the network."
            ) from None
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
                connection.commit()  # a rollback would undo it; it holds from the next transaction on
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SELECT 1")
                cursor.fetchall()  # after a first query PostgreSQL lets nobody make the transaction read-write again
                cursor.execute(self.config.query)
                reader = cursor.fetch_record_batch()
                columns = require(reader.schema.names, wanted, self.place)
                row = 1
                for arrow in reader:
                    frame = frame_of(arrow, self.place)
                    yield Batch(frame.select(columns), self.place, row)
                    row += frame.height
                if row == 1:
                    empty = frame_of(reader.schema.empty_table(), self.place)
                    yield Batch(empty.select(columns), self.place, row)
        except AdbcError as error:
            raise _failed(error, self.place) from None
        except (pa.ArrowException, OSError) as error:  # what goes wrong while rows come loses its SQLSTATE on the way
            if "read-only" in str(error) or "read-write" in str(error):
                raise _writes(self.place) from None
            raise Invalid(
                "the database stopped while it gave rows: a value cannot be converted, or it ended the query",
                place=self.place,
                remedy="Run the query in psql to see more.",
            ) from None


def _writes(place: str) -> Refused:
    return Refused("the query writes, and a source only reads", by="policy", place=place, remedy="Write a SELECT.")


def _failed(error: AdbcError, place: str) -> Refused | Invalid | Offline:
    state = error.sqlstate or ""
    if state == "25006":
        return _writes(place)
    if state.startswith("22"):  # data exceptions quote the value
        return Invalid("the database cannot convert a value", place=place, remedy=f"Correct the query (SQLSTATE {state}).")
    if state.startswith(("08", "57")):
        return Offline("the database closed the connection", place=place, remedy="Try again.")
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Invalid(first, place=place, remedy="Correct the query.")
