import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

from vsearch.indexes.address import Address
from vsearch.indexes.base import IndexUnavailable

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")


class Server:
    """Connections to a PostgreSQL database with pgvector, kept for the next call; any thread may
    ask for one.

    Args:
        where: the database.
        timeout_s: that connecting and a search may take; writing and counting have no limit.
        settings: of pgvector, for every connection.
    """

    def __init__(self, where: Address, timeout_s: float, settings: Mapping[str, object]) -> None:
        user = {
            name: value
            for name in ("user", "password")
            if (value := getattr(where, name)) is not None
        }
        options = urlencode({**where.options, **user}, quote_via=quote)
        self._url, self._shown = (
            f"postgresql://{where.host}/{quote(where.place.strip('/'))}?{options}",
            where.shown,
        )
        self._timeout_s, self._settings = timeout_s, settings
        self._idle: list[Connection] = []

    def run(self, call: Callable[["Connection"], T]) -> T:
        """Return what a call with a connection returns; tried once more where a connection that was
        kept had ended.

        Raises:
            IndexUnavailable: PostgreSQL can't be asked, or refuses.
        """
        with self._explained():
            import psycopg

            kept = bool(self._idle)
            try:
                return self._with_connection(call)
            except psycopg.OperationalError as error:
                if not kept or isinstance(error, psycopg.errors.QueryCanceled):
                    raise
                self.close()
                return self._with_connection(call)

    def patiently(self, call: Callable[["Connection"], T]) -> T:
        """Return what a call in one transaction returns, as long as it takes."""

        def whole(it: "Connection") -> T:
            with it.transaction():
                it.execute("SET LOCAL statement_timeout = 0")
                return call(it)

        return self.run(whole)

    def close(self) -> None:
        """Close the connections that are kept."""
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

        wait = max(2, round(self._timeout_s))
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=wait)
        set_to: dict[str, object] = {"statement_timeout": round(1000 * self._timeout_s)}
        if connection.execute("SELECT 1 FROM pg_type WHERE typname = 'vector'").fetchone():
            register_vector(connection)
            set_to |= self._settings
        for name, value in set_to.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, str(value)])
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            import psycopg
        except ImportError as error:
            raise ValueError(
                "PostgreSQL needs the extra pgvector: uv sync --extra pgvector"
            ) from error
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            raise IndexUnavailable(
                f"{self._shown}: no answer within {self._timeout_s:g} s (timeout_s)"
            ) from error
        except psycopg.Error as error:
            hint = (
                ""
                if error.sqlstate
                else " Is PostgreSQL running there, and are PGUSER and PGPASSWORD right?"
            )
            said = re.sub(r"\s+", " ", str(error)).strip(" .")
            raise IndexUnavailable(
                f"{self._shown}: {said}" + (f".{hint}" if hint else "")
            ) from error
