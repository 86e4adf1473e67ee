"""Vectors of one space in Milvus: a Milvus Lite file inside the casebook, or a collection of a Milvus server.

A collection holds each case's key, vector and the fields that searches filter by, and is named after the digest of all
that: the same build fills the same collection again, and two casebooks never share one by mistake.

Credentials are never written down. `MILVUS_TOKEN` ("user:password" or an API key) is sent to the server that
`MILVUS_URI` names and to no other, since a casebook from elsewhere may name any.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.errors import CasebookError
from index_builder.stores.base import NO_CASE, Condition, Hits

PREFIX = "milvus:"
_LITE_FILE = "milvus.db"

#: Up to so many allowed keys are sent as such; then the answer does not depend on how a server filters.
_FEW_KEYS = 1_000
_BATCH = 1_000
_QUERIES = 100
_TIMEOUT = 20.0
#: Milvus allows 64 fields and, for a text, 65,535 bytes; longer texts are nothing to choose from.
_MOST_FIELDS = 50
_LONGEST_TEXT = 1_000
_HNSW = {"M": 32, "efConstruction": 200}
_SEARCH_EFFORT = 128


@dataclass(frozen=True, slots=True)
class MilvusPlace:
    """Where collections lie.

    Attributes:
        name: "milvus:FILE" or "milvus:http://HOST:PORT", as the casebook's manifest has it.
        uri: What is connected to.
    """

    name: str
    uri: str

    @classmethod
    def parse(cls, name: str, folder: Path) -> MilvusPlace:
        """Read "milvus:", "milvus:FILE" or "milvus:URI"; a FILE lies in `folder`.

        Raises:
            CasebookError: Credentials in the URI, or a file elsewhere.
        """
        where = name.removeprefix(PREFIX) or _LITE_FILE
        if re.match(r"https?://", where):
            if "@" in where:
                raise CasebookError(
                    "--store: leave user and password out of the address. Set MILVUS_URI to the address and "
                    "MILVUS_TOKEN to user:password instead."
                )
            return cls(PREFIX + where, where)
        if not re.fullmatch(r"[\w-][\w.-]*\.db", where):
            raise CasebookError(
                f"--store milvus:{where}: give a file name that ends in .db, without a folder, or an address such as "
                "milvus:http://localhost:19530."
            )
        return cls(PREFIX + where, str(folder.absolute() / where))

    @property
    def is_file(self) -> bool:
        """Whether this is a Milvus Lite file rather than a server."""
        return not self.uri.startswith("http")

    def connect(self) -> Any:
        """A client.

        Raises:
            CasebookError: Milvus is not installed, or cannot be reached.
        """
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise CasebookError(
                f"{self.name}: Milvus is not installed here. Install it: pip install 'cxr-explorer[milvus]'"
            ) from None
        # Its log repeats every error that is raised, with a traceback.
        for name in ("pymilvus", "milvus_lite"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        own = self.uri.rstrip("/") == os.environ.get("MILVUS_URI", "").rstrip("/")
        with _said(self):
            return MilvusClient(self.uri, token=os.environ.get("MILVUS_TOKEN", "") if own else "", timeout=_TIMEOUT)


class MilvusStore:
    """Inner-product search in one collection."""

    kind: Literal["milvus"] = "milvus"

    def __init__(self, place: MilvusPlace, collection: str, client: Any, count: int) -> None:
        self.place = place
        self.collection = collection
        self._client = client
        self._count = count
        with _said(place):
            described = client.describe_collection(collection)
        self._fields = {field["name"] for field in described["fields"]}

    def __len__(self) -> int:
        return self._count

    @classmethod
    def build(
        cls, place: MilvusPlace, space: str, vectors: NDArray[np.float32], keys: NDArray[np.int64], fields: pa.Table
    ) -> MilvusStore:
        """Fill a collection, or take it as it is when an earlier build has filled it.

        Args:
            place: Where.
            space: Which space, for the collection's name.
            vectors: [N, D] float32, L2-normalised.
            keys: [N].
            fields: N rows of what searches filter by, as `filter_fields` gives them.

        Raises:
            CasebookError: Milvus is not installed, cannot be reached, or refuses.
        """
        collection = f"cxr_{space}_{_digest(vectors, keys, fields)[:32]}"
        client = place.connect()
        with _said(place):
            if not client.has_collection(collection):
                _create(client, place, collection, vectors.shape[1], fields)
            if _held(client, collection) != len(keys):
                rows = _rows(vectors, keys, fields)
                while batch := list(islice(rows, _BATCH)):
                    client.upsert(collection, batch)
                client.flush(collection)
            client.load_collection(collection)
        return cls(place, collection, client, len(keys))

    @classmethod
    def open(cls, place: MilvusPlace, collection: str, count: int) -> MilvusStore:
        """Open what `build` filled.

        Raises:
            CasebookError: Milvus is not installed or cannot be reached, or the collection is missing or incomplete.
        """
        if place.is_file and not Path(place.uri).exists():
            raise CasebookError(f"{place.uri}: missing. Rebuild the casebook, or copy it again with all its files.")
        client = place.connect()
        with _said(place):
            held = _held(client, collection) if client.has_collection(collection) else None
            if held == count:
                client.load_collection(collection)
        if held != count:
            found = "is not there" if held is None else f"holds {held} of {count} cases"
            raise CasebookError(
                f"{place.name}: collection {collection} {found}. Rebuild the casebook with --store {place.name}, or "
                "restore the collection from a backup of the server."
            )
        return cls(place, collection, client, count)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
        where: Sequence[Condition] | None = None,
    ) -> Hits:
        k = min(k, len(self) if allowed is None else len(allowed))
        if k == 0:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        found = self._search(query[None], k, self._expression(allowed, where))[0]
        return Hits(np.array([one[0] for one in found], np.int64), np.array([one[1] for one in found], np.float32))

    def search_many(self, queries: NDArray[np.float32], k: int) -> Hits:
        k = min(k, len(self))
        keys, scores = np.full((len(queries), k), NO_CASE, np.int64), np.full((len(queries), k), -1, np.float32)
        for start in range(0, len(queries), _QUERIES):
            for number, found in enumerate(self._search(queries[start : start + _QUERIES], k, ""), start):
                for place, (key, score) in enumerate(found):
                    keys[number, place], scores[number, place] = key, score
        return Hits(keys, scores)

    def close(self) -> None:
        """Disconnect; of a Milvus Lite file, for all of its collections."""
        self._client.close()
        if self.place.is_file:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.place.uri)

    def _search(self, queries: NDArray[np.float32], k: int, expression: str) -> list[list[tuple[int, float]]]:
        with _said(self.place):
            answers = self._client.search(
                self.collection,
                list(queries),
                limit=k,
                filter=expression,
                output_fields=["key"],
                search_params={"params": {} if self.place.is_file else {"ef": max(_SEARCH_EFFORT, k)}},
            )
        return [[(int(hit["key"]), float(hit["distance"])) for hit in found] for found in answers]

    def _expression(self, allowed: NDArray[np.int64] | None, where: Sequence[Condition] | None) -> str:
        if allowed is None:
            return ""
        known = where is not None and all(column_name(one.field) in self._fields for one in where)
        if where is None or not known or len(allowed) <= _FEW_KEYS:
            return f"key in {allowed.tolist()}"
        return " and ".join(f"({_condition(one)})" for one in where)


def is_filter_field(name: str) -> bool:
    """Whether searches may filter by a column of a table of cases."""
    return name in ("labels", "split", "view", "synthetic") or name.startswith("profile.")


def filter_fields(table: pa.Table) -> pa.Table:
    """Columns of a table of cases that searches filter by: labels, and what has numbers, truth values or words."""
    names = [name for name in table.column_names if is_filter_field(name)]
    kept = {}
    for name in names[:_MOST_FIELDS]:
        column = table.column(name)
        if pa.types.is_string(column.type):
            if (pc.max(pc.binary_length(column)).as_py() or 0) > _LONGEST_TEXT:
                continue
            column = pc.utf8_lower(column)
        elif pa.types.is_integer(column.type):
            column = column.cast(pa.float64())
        kept[name] = column
    return pa.table(kept)


def column_name(field: str) -> str:
    """What a column is called in Milvus, where names consist of letters, digits and underscores."""
    return "f_" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_", field)


def _condition(one: Condition) -> str:
    name = column_name(one.field)
    if one.field == "labels":
        test = f"array_contains_{'all' if one.operator == 'all' else 'any'}({name}, {_literal(list(one.values))})"
        return f"not {test}" if one.operator == "none" else test
    if one.operator == "between":
        ends = zip((">=", "<="), one.values, strict=True)
        return " and ".join(f"{name} {sign} {_literal(end)}" for sign, end in ends if end is not None) or (
            f"{name} is not null"
        )
    if one.operator in ("<", "<=", ">", ">="):
        return f"{name} {one.operator} {_literal(one.values[0])}"
    test = f"{name} in {_literal(list(one.values))}"
    return f"{name} is null or not ({test})" if one.operator == "none" else test


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _digest(vectors: NDArray[np.float32], keys: NDArray[np.int64], fields: pa.Table) -> str:
    digest = hashlib.sha256(json.dumps([str(vectors.shape), str(fields.schema)]).encode())
    for array in (keys, vectors):
        digest.update(np.ascontiguousarray(array).data)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, fields.schema) as writer:
        writer.write_table(fields.combine_chunks())
    digest.update(sink.getvalue())
    return digest.hexdigest()


def _create(client: Any, place: MilvusPlace, collection: str, dim: int, fields: pa.Table) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    for field in fields.schema:
        kind = field.type
        options: dict[str, Any] = {"nullable": True}
        if pa.types.is_list(kind):
            options = {"element_type": DataType.VARCHAR, "max_capacity": 4_096, "max_length": 4 * _LONGEST_TEXT}
            stored = DataType.ARRAY
        elif pa.types.is_boolean(kind):
            stored = DataType.BOOL
        elif pa.types.is_floating(kind):
            stored = DataType.DOUBLE
        else:
            stored, options = DataType.VARCHAR, {"nullable": True, "max_length": 4 * _LONGEST_TEXT}
        schema.add_field(column_name(field.name), stored, **options)
    index = client.prepare_index_params()
    # A file is for few cases, which are compared one by one; a server builds a graph.
    chosen = {"index_type": "FLAT"} if place.is_file else {"index_type": "HNSW", "params": _HNSW}
    index.add_index("vector", metric_type="IP", **chosen)
    client.create_collection(collection, schema=schema, index_params=index, consistency_level="Strong")


def _rows(vectors: NDArray[np.float32], keys: NDArray[np.int64], fields: pa.Table) -> Iterator[Mapping[str, Any]]:
    start = 0
    for batch in fields.to_batches(_BATCH):
        columns = {column_name(name): batch.column(name).to_pylist() for name in fields.column_names}
        for number in range(len(batch)):
            row = start + number
            yield {"key": int(keys[row]), "vector": vectors[row]} | {name: of[number] for name, of in columns.items()}
        start += len(batch)


def _held(client: Any, collection: str) -> int:
    """Cases of a collection, those upserted twice counted once."""
    client.load_collection(collection)
    return int(client.query(collection, filter="", output_fields=["count(*)"])[0]["count(*)"])


@contextmanager
def _said(place: MilvusPlace) -> Iterator[None]:
    """Turn what pymilvus raises into a message that names the place and the remedy."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        remedy = (
            "A Milvus Lite file serves one program at a time, which must be able to write there: close the others, or "
            "build with the address of a Milvus server"
            if place.is_file
            else "Check that the server runs and that MILVUS_URI and MILVUS_TOKEN are those of its account"
        )
        raise CasebookError(f"{place.name}: {str(error.message)[:300]}. {remedy}.") from error
