import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

from vsearch.data.io.named_hosts import needs_tls
from vsearch.errors import one_line
from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.stores.url import CollectionUrl
from vsearch.optional_packages import require

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")


class Connections:
    """Connections to a PostgreSQL database with pgvector, kept for the next call of any thread.

    `timeout_s` limits connecting and a search; writing and counting have no limit.
    """

    def __init__(self, url: CollectionUrl, timeout_s: float) -> None:
        options = dict(url.options)
        hosts = options.get("hostaddr") or options.get("host") or url.host
        if needs_tls(hosts) and "PGSSLMODE" not in os.environ:
            options.setdefault("sslmode", "require")
        query = urlencode(options, quote_via=quote)
        self._url = f"postgresql://{url.host}/{quote(url.place.strip('/'))}?{query}"
        self._shown = url.shown
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []

    def run(self, call: Callable[["Connection"], T], retry: bool = True) -> T:
        """Return a call's result; `retry` if it fails with a kept connection, which may be dead."""
        psycopg = require("psycopg", "pgvector")
        kept = bool(self._idle)
        try:
            return self._with_connection(call)
        except psycopg.errors.QueryCanceled as error:
            raise IndexUnavailable(
                f"{self._shown}: no answer within {self._timeout_s:g} s (timeout_s)"
            ) from error
        except psycopg.Error as error:
            if retry and kept and isinstance(error, psycopg.OperationalError):
                self.close()
                return self.run(call, retry=False)
            said = one_line(error).strip(" .")
            if not error.sqlstate:  # the server wasn't reached
                said += ". Is PostgreSQL running there, and are PGUSER and PGPASSWORD right?"
            raise IndexUnavailable(f"{self._shown}: {said}") from error

    def run_patiently(self, call: Callable[["Connection"], T]) -> T:
        """Return the result of a call in one transaction, however long it takes."""

        def in_transaction(connection: "Connection") -> T:
            with connection.transaction():
                connection.execute("SET LOCAL statement_timeout = 0")
                return call(connection)

        return self.run(in_transaction)

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().close()

    def _with_connection(self, call: Callable[["Connection"], T]) -> T:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connected()
        try:
            result = call(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return result

    def _connected(self) -> "Connection":
        import psycopg
        from pgvector.psycopg import register_vector

        wait_s = max(2, round(self._timeout_s))
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=wait_s)
        if connection.execute("SELECT 1 FROM pg_type WHERE typname = 'vector'").fetchone():
            register_vector(connection)
        connection.execute(f"SET statement_timeout = {round(1000 * self._timeout_s)}")
        connection.execute("SET hnsw.iterative_scan = relaxed_order")
        return connection
