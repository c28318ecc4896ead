import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from os import environ
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vsearch.data.io.named_hosts import needs_tls
from vsearch.errors import one_line
from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.stores.collection import Collection, Found
from vsearch.indexes.stores.serials import Where
from vsearch.indexes.stores.url import read_url
from vsearch.indexes.vector_store import VectorStoreIndex
from vsearch.optional_packages import require

if TYPE_CHECKING:
    from pymilvus import MilvusClient

FORM = "milvus://host:19530/collection, or milvus:///folder/file.db/collection for milvus-lite"
TOKEN = "MILVUS_TOKEN"  # in the environment: user:password, or an API key
PREFIX = "vsearch."  # of the collection's properties
STEP_S = 0.1
ANSWER = 200_000  # most hits per call, over all queries
TOO_OFTEN = 8  # error code of a rate limit: one flush in ten seconds
BUILD_S = 3600.0  # for Milvus to index a build's vectors; afterwards it continues by itself


class MilvusIndex(VectorStoreIndex):
    """Vectors in a collection of Milvus, 2.3 or later. Needs the extra: uv sync --extra milvus

    Args:
        url: `milvus://host:19530/collection`, with TLS unless the host is this machine or
            `?secure=false` turns it off; `?db=name` names another database. User and password come
            from MILVUS_TOKEN (`user:password`) or the URL, and are never written.
            `milvus:///folder/file.db/collection` is milvus-lite, in this process.
        kind: `FLAT` compares every vector, `HNSW` walks a graph.
        construction: of HNSW: `M`, `efConstruction`.
        searching: of HNSW: `ef`.
        timeout_s: limit for a call.
        replicas: how many query nodes hold each row: with 2, searches continue when one dies.
        consistency: `Bounded`: searches may miss rows of the last seconds, but `save` waits until
            its own are visible. `Strong` makes each search wait.
    """

    store = "Milvus"
    kinds: ClassVar = {"FLAT": 32_768, "HNSW": 32_768}
    hnsw: ClassVar = {
        "construction": {"M": 16, "efConstruction": 200},
        "searching": {"ef": 64},
    }

    def __init__(
        self,
        url: str,
        kind: str = "FLAT",
        construction: dict[str, int] | None = None,
        searching: dict[str, int] | None = None,
        timeout_s: float = 10,
        replicas: int = 1,
        consistency: str = "Bounded",
    ) -> None:
        self.replicas = replicas
        self.consistency = consistency
        super().__init__(url, kind, construction, searching, timeout_s)

    def _collection(self, url: str) -> "MilvusCollection":
        return MilvusCollection(url, self)


class MilvusCollection(Collection):
    """A collection of (serial, embedding); its properties name its owner."""

    most_listed = 10_000
    most_hits = 16_384

    def __init__(self, url: str, index: MilvusIndex) -> None:
        where = read_url(url, "milvus", FORM)
        if not where.host and not where.place.endswith(".db"):
            raise ValueError(f"url: it should look like {FORM}")
        self.url = where.shown
        self.secret = where.secret
        self._name = where.name
        self._index = index
        self._patient_s = 60 + index.timeout_s  # for writes

        options = where.options
        secure = options.get("secure", str(needs_tls(where.host))).lower() == "true"
        scheme = "https" if secure else "http"
        self._place = f"{scheme}://{where.host}" if where.host else where.place
        user = [options[name] for name in ("user", "password") if name in options]
        self._token = ":".join(user) or options.get("token", "")
        self._database = options.get("db", "")

    def meta(self) -> dict[str, str] | None:
        """See `Collection`."""
        if not self._call("has_collection"):
            return None
        properties = self._call("describe_collection").get("properties", {})
        if self._call("list_indexes"):  # none: its creation was interrupted
            self._load()
        return {
            name.removeprefix(PREFIX): value
            for name, value in properties.items()
            if name.startswith(PREFIX)
        }

    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Create the collection; the first `upsert` creates its index, and loads it."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("serial", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
        self._call(
            "create_collection",
            schema=schema,
            properties={PREFIX + name: value for name, value in meta.items()},
        )

    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows; they are in Milvus's log when this returns."""
        self._make_index()
        rows = [
            {"serial": serial, "embedding": vector}
            for serial, vector in zip(serials.tolist(), vectors, strict=True)
        ]
        self._call("upsert", rows, timeout=self._patient_s)

    def settle(self, first: int, last: int) -> None:
        """Wait until the written rows are sealed, indexed and visible to searches."""
        try:
            self._call("flush", timeout=self._patient_s)
        except IndexUnavailable as error:
            if getattr(error.__cause__, "code", None) != TOO_OFTEN:  # it seals the rows later
                raise
        end = time.monotonic() + BUILD_S
        while self.count(Where(((first, last),))) <= last - first or self._unindexed():
            if time.monotonic() > end:
                raise IndexUnavailable(
                    f"{self.url}: after {BUILD_S:g} s Milvus hasn't shown and indexed the rows"
                )
            time.sleep(STEP_S)

    def find(self, queries: np.ndarray, k: int, where: Where) -> Found:
        """Search for as many queries in one call as Milvus allows."""
        settings = dict(self._index.searched_with)
        if not self._index.exact:
            settings["ef"] = max(k, settings["ef"])  # Milvus refuses less than k
        found: Found = []
        step = max(1, ANSWER // k)
        for start in range(0, len(queries), step):
            answers = self._call(
                "search",
                data=list(queries[start : start + step]),
                filter=_condition(where),
                limit=k,
                output_fields=["serial"],
                search_params={"metric_type": "IP", "params": settings},
                consistency_level=self._index.consistency,
            )
            for hits in answers:
                found.append([(hit["serial"], hit["distance"]) for hit in hits])
        return found

    def fetch(self, serials: np.ndarray) -> dict[int, np.ndarray]:
        """See `Collection`."""
        rows = self._query(Where(listed=serials), ["serial", "embedding"])
        return {row["serial"]: row["embedding"] for row in rows}

    def count(self, where: Where) -> int:
        """See `Collection`."""
        return int(self._query(where, ["count(*)"])[0]["count(*)"])

    def serials(self) -> np.ndarray:
        """See `Collection`."""
        found: list[int] = []
        pages = self._call(
            "query_iterator", batch_size=10_000, filter="serial >= 0", output_fields=["serial"]
        )
        with self._explained():
            while page := pages.next():
                found += [row["serial"] for row in page]
            pages.close()
        return np.sort(np.array(found, dtype=np.int64))

    def delete(self, serials: np.ndarray) -> None:
        """Delete rows; Milvus frees their space when it compacts."""
        condition = _condition(Where(listed=serials))
        self._call("delete", filter=condition, timeout=self._patient_s)

    @cached_property
    def _client(self) -> "MilvusClient":
        from pymilvus import MilvusClient

        # it raises each error, and also logs it at length
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        return MilvusClient(
            self._place,
            token=self._token or environ.get(TOKEN, ""),
            db_name=self._database,
            timeout=self._index.timeout_s,
        )

    def _make_index(self) -> None:
        if not self._call("list_indexes"):
            index = self._client.prepare_index_params()
            index.add_index(
                "embedding",
                index_type=self._index.kind,
                metric_type="IP",
                params=self._index.created_with,
            )
            self._call("create_index", index)
        self._load()

    def _load(self) -> None:
        if str(self._call("get_load_state").get("state")) != "Loaded":
            replicas = self._index.replicas
            self._call("load_collection", replica_number=replicas, timeout=self._patient_s)

    def _query(self, where: Where, fields: list[str]) -> Any:
        return self._call(
            "query",
            filter=_condition(where),
            output_fields=fields,
            consistency_level=self._index.consistency,
        )

    def _unindexed(self) -> int:
        found = self._call("describe_index", "embedding") or {}
        return max(0, int(found.get("pending_index_rows", 0)))

    def _call(self, method: str, *values: Any, **options: Any) -> Any:
        """Call a method of the client for this collection, with a time limit."""
        with self._explained():
            call = getattr(self._client, method)
            return call(self._name, *values, **{"timeout": self._index.timeout_s, **options})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        MilvusException = require("pymilvus", "milvus").MilvusException
        RpcError = require("grpc", "milvus").RpcError
        try:
            yield
        except MilvusException as error:
            said = one_line(error.message).strip(" .") + "."
            if error.code in (1, 2, 5):
                said += f" Is Milvus running there, and is {TOKEN} right?"
            raise IndexUnavailable(f"{self.url}: {said}") from error
        except RpcError as error:
            raise IndexUnavailable(
                f"{self.url}: the connection to Milvus was lost ({type(error).__name__})"
            ) from error


def _condition(where: Where) -> str:
    if where.listed is not None:
        return f"serial in {where.listed.tolist()}"
    ranges = " or ".join(
        f"(serial >= {first} and serial <= {last})" for first, last in where.ranges
    )
    return f"({ranges}) and serial not in {where.hidden}" if where.hidden else ranges
