import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vsearch.indexes.stores.collection import Collection, Found
from vsearch.indexes.stores.postgres import Connections
from vsearch.indexes.stores.serials import Where
from vsearch.indexes.stores.url import read_url
from vsearch.indexes.vector_store import VectorStoreIndex

if TYPE_CHECKING:
    from psycopg import Connection

FORM = "postgresql://host:5432/database/table"
VECTOR_DIM = 2_000  # limit of a graph of `vector`
MOST_EF = 1_000  # of hnsw.ef_search: for more hits, every vector is compared
COMMENT = "vsearch "
COMMENT_OF = "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)"
GRAPH_OF = (
    "SELECT 1 FROM pg_index WHERE indrelid = to_regclass(%s) "
    "AND pg_get_indexdef(indexrelid) LIKE '%% USING hnsw %%'"
)


class PgvectorIndex(VectorStoreIndex):
    """Vectors in a table of PostgreSQL with pgvector. Needs the extra: uv sync --extra pgvector

    Scores are exact: above 2,000 dimensions, HNSW compares `halfvec`, and the best are compared
    again in float32.

    Args:
        url: `postgresql://host:5432/database/table` or `.../schema.table`; options of libpq may
            follow. TLS is required unless the host is this machine, or `?sslmode=disable` or
            PGSSLMODE says otherwise. User and password come from PGUSER, PGPASSWORD, ~/.pgpass or
            the URL, and are never written.
        kind: `exact`, the default, compares every vector; `HNSW` walks a graph.
        construction: of HNSW: `m`, `ef_construction`.
        searching: of HNSW: `ef_search`, up to 1,000.
        timeout_s: limit for connecting and for a search.
    """

    store = "pgvector"
    kinds: ClassVar = {"exact": 16_000, "HNSW": 4_000}
    hnsw: ClassVar = {
        "construction": {"m": 16, "ef_construction": 64},
        "searching": {"ef_search": 40},
    }

    def _collection(self, url: str) -> "Table":
        return Table(url, self)


class Table(Collection):
    """A table of (serial, embedding); its comment names its owner. A write is one transaction."""

    most_listed = 1_000_000
    most_hits = 1_000_000_000

    def __init__(self, url: str, index: PgvectorIndex) -> None:
        where = read_url(url, "postgresql", FORM)
        if not where.place.strip("/"):
            raise ValueError(f"url: it should look like {FORM}")
        self.url = where.shown
        self.secret = where.secret
        self._index = index
        self._server = Connections(where, index.timeout_s)
        self._quoted = '"' + where.name.replace(".", '"."') + '"'

    def meta(self) -> dict[str, str] | None:
        """See `Collection`."""
        found = self._server.run(lambda it: it.execute(COMMENT_OF, [self._quoted]).fetchone())
        if found is None:
            return None
        text = found[0] or ""
        return json.loads(text.removeprefix(COMMENT)) if text.startswith(COMMENT) else {}

    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Create the table, and the extension if it is missing."""

        def make(it: "Connection") -> None:
            embedding = f"embedding vector({int(dim)}) NOT NULL"
            it.execute(f"CREATE TABLE {self._quoted} (serial bigint PRIMARY KEY, {embedding})")
            comment = (COMMENT + json.dumps(dict(meta))).replace("'", "''")
            it.execute(f"COMMENT ON TABLE {self._quoted} IS '{comment}'")

        self._server.run(lambda it: it.execute("CREATE EXTENSION IF NOT EXISTS vector"))
        self._server.close()  # open connections don't know the extension's types
        self._server.run_patiently(make)

    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows in one transaction: all of them or none."""

        def put(it: "Connection") -> None:
            it.execute(f"DELETE FROM {self._quoted} WHERE serial = ANY(%s)", [serials.tolist()])
            into = f"COPY {self._quoted} (serial, embedding) FROM STDIN WITH (FORMAT BINARY)"
            with it.cursor() as cursor, cursor.copy(into) as copy:
                copy.set_types(["int8", "vector"])
                for row in zip(serials.tolist(), vectors, strict=True):
                    copy.write_row(row)

        self._server.run_patiently(put)

    def settle(self, first: int, last: int) -> None:
        """Create the graph if it is missing, and update the table's statistics."""
        create_graph = None if self._index.exact else self._create_graph()

        def make(it: "Connection") -> None:
            if create_graph and not it.execute(GRAPH_OF, [self._quoted]).fetchone():
                it.execute(create_graph)
            it.execute(f"ANALYZE {self._quoted}")

        self._server.run_patiently(make)

    def find(self, queries: np.ndarray, k: int, where: Where) -> Found:
        """Search for one query after the other."""
        condition, serials = _condition(where)
        walked = not self._index.exact and k <= MOST_EF
        rows = f"SELECT serial, embedding FROM {self._quoted} WHERE {condition}"
        if walked:
            ef = self._index.searched_with["ef_search"]
            farther = min(MOST_EF, 2 * k)
            walk = f"SET hnsw.ef_search = {int(farther if k > ef else ef)}"

            cast = self._cast
            candidates = farther if cast else k
            rows += f" ORDER BY (embedding{cast}) <#> %(query)s{cast} LIMIT {candidates}"
        best = (
            f"SELECT serial, -(embedding <#> %(query)s) AS score FROM ({rows}) hits "
            f"ORDER BY score DESC, serial LIMIT {k}"
        )

        def ask(it: "Connection") -> Found:
            if walked:
                it.execute(walk)
            found = []
            for query in queries:
                values = {"query": query, "serials": serials}
                found.append(it.execute(best, values, binary=True).fetchall())
            return found

        return self._server.run(ask)

    def fetch(self, serials: np.ndarray) -> dict[int, np.ndarray]:
        """See `Collection`."""
        wanted = f"SELECT serial, embedding FROM {self._quoted} WHERE serial = ANY(%s)"
        rows = self._server.run(
            lambda it: it.execute(wanted, [serials.tolist()], binary=True).fetchall()
        )
        return {serial: vector.to_numpy() for serial, vector in rows}

    def count(self, where: Where) -> int:
        """See `Collection`."""
        condition, serials = _condition(where)
        counted = f"SELECT count(*) FROM {self._quoted} WHERE {condition}"
        values = {"serials": serials}
        rows = self._server.run_patiently(lambda it: it.execute(counted, values).fetchall())
        return int(rows[0][0])

    def serials(self) -> np.ndarray:
        """See `Collection`."""
        every = f"SELECT serial FROM {self._quoted} ORDER BY serial"
        rows = self._server.run_patiently(lambda it: it.execute(every).fetchall())
        return np.array([row[0] for row in rows], dtype=np.int64)

    def delete(self, serials: np.ndarray) -> None:
        """See `Collection`."""
        these = f"DELETE FROM {self._quoted} WHERE serial = ANY(%s)"
        self._server.run_patiently(lambda it: it.execute(these, [serials.tolist()]))

    def _create_graph(self) -> str:
        operators = "halfvec_ip_ops" if self._cast else "vector_ip_ops"
        column = f"(embedding{self._cast}) {operators}"
        settings = [f"{name} = {int(value)}" for name, value in self._index.created_with.items()]
        return f"CREATE INDEX ON {self._quoted} USING hnsw ({column}) WITH ({', '.join(settings)})"

    @cached_property
    def _cast(self) -> str:
        """The cast of vectors and queries that are too long for a graph of `vector`."""
        dim = int((self.meta() or {}).get("dim", 0))
        return f"::halfvec({dim})" if dim > VECTOR_DIM else ""


def _condition(where: Where) -> tuple[str, list[int]]:
    """Return a condition on rows, and the serials that it names as %(serials)s."""
    if where.listed is not None:
        return "serial = ANY(%(serials)s)", where.listed.tolist()
    ranges = " OR ".join(f"serial BETWEEN {first} AND {last}" for first, last in where.ranges)
    return f"({ranges}) AND serial <> ALL(%(serials)s)", list(where.hidden)
