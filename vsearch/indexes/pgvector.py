import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.indexes.address import address
from vsearch.indexes.collection import Collection, known_names
from vsearch.indexes.postgres import Server
from vsearch.indexes.serials import Where
from vsearch.indexes.vector_store import RemoteIndex

if TYPE_CHECKING:
    from psycopg import Connection

FORM = "postgresql://host:5432/database/table"
KINDS = ("exact", "HNSW")
VECTOR_DIM, HALF_DIM, MOST_DIM = (
    2_000,
    4_000,
    16_000,
)  # that HNSW takes as vector and as halfvec, and a table at all
MOST_EF = 1_000  # of hnsw.ef_search: more hits are found by comparing every vector
COMMENT = "vsearch "
HNSW_OF = (
    "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = "
    "relam WHERE indrelid = to_regclass(%s) AND amname = 'hnsw'"
)


class PgvectorIndex(RemoteIndex):
    """Vectors in a table of PostgreSQL, searched by its extension pgvector. Needs the extra: uv
    sync --extra pgvector

    The table keeps float32, so hits' scores and vectors are exact. HNSW compares `halfvec` where
    the dim is above 2,000, which pgvector's index of float32 doesn't take, and the best are
    compared again in float32.

    Args:
        url: `postgresql://host:5432/database/table`; the table may be `schema.table`, and options
            of libpq may follow (`?sslmode=require`). User and password come from PGUSER,
            PGPASSWORD, ~/.pgpass, or the URL; they are never written anywhere.
        kind: `exact` compares every vector, `HNSW` walks a graph.
        construction: of HNSW: `m`, `ef_construction`.
        searching: of HNSW: `ef_search`, up to 1,000.
        timeout_s: that connecting and a search may take.
    """

    def __init__(
        self,
        url: str,
        kind: str = "exact",
        construction: dict[str, int] | None = None,
        searching: dict[str, int] | None = None,
        timeout_s: float = 10,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind: {kind!r} is none of {', '.join(KINDS)}")
        self.kind, self.timeout_s = kind, timeout_s
        build, find = (("m", "ef_construction"), ("ef_search",)) if kind == "HNSW" else ((), ())
        self.construction = known_names("construction", construction or {}, build, kind)
        self.searching = known_names("searching", searching or {}, find, kind)
        self.collection = Table(url, kind == "HNSW", self.construction, self.searching, timeout_s)
        self.url = self.collection.url
        settings = {**self.construction, **self.searching}
        self.spec = ", ".join(
            [f"pgvector {kind}", *(f"{name}={value}" for name, value in settings.items())]
        )
        super().__init__()

    @property
    def exact(self) -> bool:
        """Whether every vector is compared."""
        return self.kind == "exact"

    def check(self, n: int, dim: int) -> None:
        """Refuse more dimensions than pgvector takes, and a table that is there already."""
        most = MOST_DIM if self.exact else HALF_DIM
        if dim > most:
            raise ValueError(
                f"kind: pgvector's {self.kind} takes {most:,} dimensions at most, not {dim:,}"
            )
        super().check(n, dim)

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            name: getattr(self, name)
            for name in ("url", "kind", "construction", "searching", "timeout_s")
        }


class Table(Collection):
    """A table of (serial, embedding); what it is of stands in its comment. Each write is one
    transaction.
    """

    most_listed, most_hits = 1_000_000, 1_000_000_000

    def __init__(
        self,
        url: str,
        graph: bool,
        construction: Mapping[str, int],
        searching: Mapping[str, int],
        timeout_s: float,
    ) -> None:
        where = address(url, "postgresql", FORM)
        if not where.place.strip("/"):
            raise ValueError(
                f"url: it should look like {FORM}; this one lacks the database or the table"
            )
        self.url, self._graph, self._ef = where.shown, graph, int(searching.get("ef_search", 40))
        self.secret = where.secret
        self._server = Server(
            where, timeout_s, {"hnsw.ef_search": self._ef, "hnsw.iterative_scan": "relaxed_order"}
        )
        self._schema, _, self._name = where.name.rpartition(".")
        self._construction = {name: int(value) for name, value in construction.items()}
        self._dim: int | None = None

    def meta(self) -> dict[str, str] | None:
        """Return what the table's comment says."""
        told = "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)"
        found = self._server.run(lambda it: it.execute(told, [self._quoted]).fetchone())
        if found is None:
            return None
        text = found[0] or ""
        return json.loads(text.removeprefix(COMMENT)) if text.startswith(COMMENT) else {}

    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Make the table, and the extension where it isn't there."""

        def make(it: "Connection") -> None:
            embedding = f"embedding vector({int(dim)}) NOT NULL"
            it.execute(f"CREATE TABLE {self._quoted} (serial bigint PRIMARY KEY, {embedding})")
            comment = (COMMENT + json.dumps(dict(meta))).replace("'", "''")
            it.execute(f"COMMENT ON TABLE {self._quoted} IS '{comment}'")

        self._server.run(_make_extension)
        self._server.close()  # what was open doesn't know the extension's types
        self._server.patiently(make)

    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows in one transaction: all of them or none."""

        def put(it: "Connection") -> None:
            it.execute(f"DELETE FROM {self._quoted} WHERE serial = ANY(%s)", [serials.tolist()])
            with it.cursor() as cursor:
                told = f"COPY {self._quoted} (serial, embedding) FROM STDIN WITH (FORMAT BINARY)"
                with cursor.copy(told) as copy:
                    copy.set_types(["int8", "vector"])
                    for row in zip(serials.tolist(), vectors, strict=True):
                        copy.write_row(row)

        self._server.patiently(put)

    def settle(self, first: int, last: int) -> None:
        """Make the graph, if there is to be one and it isn't there, and have PostgreSQL count the
        rows.
        """
        told = (
            " WITH ("
            + ", ".join(f"{name} = {value}" for name, value in self._construction.items())
            + ")"
        )
        index = (
            f"USING hnsw ({self._walked()[0]} {'vector' if self._small() else 'halfvec'}_ip_ops)"
        )

        def make(it: "Connection") -> None:
            if self._graph and not it.execute(HNSW_OF, [self._quoted]).fetchone():
                it.execute(
                    f"CREATE INDEX ON {self._quoted} {index}" + (told if self._construction else "")
                )
            it.execute(f"ANALYZE {self._quoted}")

        self._server.patiently(make)

    def find(self, queries: np.ndarray, k: int, where: Where) -> tuple[np.ndarray, np.ndarray]:
        """Search one query after the other."""
        scores = np.full((len(queries), k), -1, np.float32)
        serials = np.full((len(queries), k), -1, np.int64)
        condition, values = _condition(where)
        graph = self._graph and k <= MOST_EF
        rows = f"SELECT serial, embedding FROM {self._quoted} WHERE {condition}"
        if graph:
            column, cast_to = self._walked()
            rows += f" ORDER BY {column} <#> %s{cast_to} LIMIT {k if self._small() else min(2 * k, MOST_EF)}"
        score = "SELECT serial, -(embedding <#> %s) AS score"
        told = f"{score} FROM ({rows}) hits ORDER BY score DESC, serial LIMIT {k}"

        def ask(it: "Connection") -> None:
            for row, query in enumerate(queries):
                found = it.execute(
                    told, [query, *values, *([query] if graph else [])], binary=True
                ).fetchall()
                serials[row, : len(found)] = [serial for serial, _ in found]
                scores[row, : len(found)] = [score for _, score in found]

        if not graph or k <= self._ef:
            self._server.run(ask)
        else:

            def ask_farther(it: "Connection") -> None:
                with it.transaction():
                    it.execute(f"SET LOCAL hnsw.ef_search = {min(MOST_EF, 2 * k)}")
                    ask(it)

            self._server.run(ask_farther)
        return scores, serials

    def fetch(self, serials: np.ndarray) -> np.ndarray:
        """Return vectors by their serials."""
        told = f"SELECT serial, embedding FROM {self._quoted} WHERE serial = ANY(%s)"
        found: dict[int, Any] = dict(
            self._server.run(
                lambda it: it.execute(told, [serials.tolist()], binary=True).fetchall()
            )
        )
        lost = [serial for serial in serials.tolist() if serial not in found]
        if lost:
            raise ValueError(
                f"{self.url} lacks {len(lost):,} rows of this index, e.g. that of serial {lost[0]}"
            )
        return np.array([found[serial].to_numpy() for serial in serials.tolist()], dtype=np.float32)

    def count(self, where: Where) -> int:
        """Return how many rows fulfil a condition."""
        condition, values = _condition(where)
        told = f"SELECT count(*) FROM {self._quoted} WHERE {condition}"
        row = self._server.patiently(lambda it: it.execute(told, values).fetchone())
        return int(row[0]) if row else 0

    def serials(self) -> np.ndarray:
        """Return all rows' serials."""
        told = f"SELECT serial FROM {self._quoted} ORDER BY serial"
        rows = self._server.patiently(lambda it: it.execute(told).fetchall())
        return np.array([row[0] for row in rows], dtype=np.int64)

    def delete(self, serials: np.ndarray) -> None:
        """Delete rows."""
        told = f"DELETE FROM {self._quoted} WHERE serial = ANY(%s)"
        self._server.patiently(lambda it: it.execute(told, [serials.tolist()]))

    def drop(self) -> None:
        """Delete the table."""
        self._server.patiently(lambda it: it.execute(f"DROP TABLE IF EXISTS {self._quoted}"))

    @property
    def _quoted(self) -> str:
        return f'"{self._schema}"."{self._name}"' if self._schema else f'"{self._name}"'

    def _small(self) -> bool:
        return self._known_dim() <= VECTOR_DIM

    def _walked(self) -> tuple[str, str]:
        """Return what the graph is made of, and what a query is cast to."""
        dim = self._known_dim()
        return (
            ("embedding", "")
            if self._small()
            else (f"(embedding::halfvec({dim}))", f"::halfvec({dim})")
        )

    def _known_dim(self) -> int:
        if self._dim is None:
            self._dim = int((self.meta() or {}).get("dim", 0))
        return self._dim


def _make_extension(it: "Connection") -> None:
    if not it.execute("SELECT 1 FROM pg_type WHERE typname = 'vector'").fetchone():
        it.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _condition(where: Where) -> tuple[str, list[Any]]:
    if where.listed is not None:
        return "serial = ANY(%s)", [where.listed.tolist()]
    ranges = " OR ".join("serial BETWEEN %s AND %s" for _ in where.ranges)
    values: list[Any] = [end for ends in where.ranges for end in ends]
    if not len(where.hidden):
        return f"({ranges})", values
    return f"({ranges}) AND NOT serial = ANY(%s)", [*values, where.hidden.tolist()]
