"""The seam to whatever finds the nearest vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

#: Stands for a case that an approximate search over many queries did not find.
NO_CASE = -1


@dataclass(frozen=True, slots=True)
class Hits:
    """Nearest vectors of one query or of many, best first.

    Attributes:
        keys: [k] or [Q, k] int64, `case_key` of each case; shorter than asked when fewer cases are allowed.
        scores: Likewise, float32, inner products with the query (cosine, as all vectors are normalised).
    """

    keys: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Condition:
    """What the cases a search may return have in common, for stores that keep such fields beside the vectors.

    Attributes:
        field: Column of `cases.table.cases_table`: `labels`, `split`, `profile.age`, …
        operator: How it is compared; `any` and `none` of the values, `all` for labels alone.
        values: Labels as they are written, texts in lower case, numbers, or truth values. "between" has both ends, None
            where open.
    """

    field: str
    operator: Literal["any", "all", "none", "<", "<=", ">", ">=", "between"]
    values: tuple[str | float | bool | None, ...]


class VectorStore(Protocol):
    """Nearest-neighbour search over the vectors of one space."""

    def __len__(self) -> int: ...

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
        where: Sequence[Condition] | None = None,
    ) -> Hits:
        """The `k` cases nearest to one query.

        Args:
            query: [D] float32, L2-normalised.
            k: How many at most.
            allowed: Keys that may be returned, filtered before the top k; None allows all.
            where: Conditions that say the same as `allowed`, where there are such: a store that keeps the fields
                filters by these instead of being sent millions of keys.
        """
        ...

    def search_many(self, queries: NDArray[np.float32], k: int) -> Hits:
        """The `k` cases nearest to each of many queries [Q, D]; `NO_CASE` where an approximate index finds fewer."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the store cannot be used afterwards."""
        ...


def case_key(case_id: str) -> int:
    """The number a case goes by inside a vector store: 63 bits of its id's SHA-256.

    Derived from the id alone, so vectors and metadata can never be matched by position.
    """
    return int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:8], "big") >> 1


def case_keys(case_ids: Sequence[str]) -> NDArray[np.int64]:
    """`case_key` of many ids, [N] int64."""
    return np.fromiter((case_key(case_id) for case_id in case_ids), dtype=np.int64, count=len(case_ids))
