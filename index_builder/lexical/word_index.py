"""Reports by their words: BM25 over stemmed words, and the index terms of their facts, in one tantivy index.

A document per report. `row` is its row in the casebook, `text` its words (English stems, with positions), `fact` the
terms of `facts.match.fact_terms`. Scores come from block-max WAND over memory-mapped files: the best reports are found
without scoring all.

A repeated or resumed build gives the same bytes under the same names. tantivy names the files of a segment by chance,
and merges segments in the background, in an order that differs from time to time. So one thread writes a given number
of reports as an index of one segment, whose content is then the same each time; its files are named by the digest of
their content; and the segments of all these indexes are listed as those of one. Scores do not depend on where one ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Occur
from tantivy import Query as Asked

from index_builder.errors import CasebookError

#: What ends a segment: so many reports, or characters.
_SEGMENT_REPORTS, _SEGMENT_CHARACTERS = 65_536, 64_000_000
#: Bytes after which tantivy would end a segment by itself: more than those reports take.
_HEAP = 2_000_000_000
#: Of a long text, the words searched for: the rarest ones, which decide. A report has some sixty.
_MOST_WORDS = 128
#: Share of a fully matching pair of neighbouring words in the score of its two words.
PAIR_WEIGHT = 0.15
#: A selection of at most so many rows is asked for by row; of a larger one, hits outside it are passed over.
_FEW_ROWS = 2_000
#: Weight of words beside facts: it orders reports that the terms leave level, and outweighs no term.
_WORDS_BESIDE_FACTS = 1e-4
_META = "meta.json"

#: What tantivy's "en_stem" does, to read a query as the reports were read.
_ANALYSER = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    .filter(tantivy.Filter.remove_long(40))
    .filter(tantivy.Filter.lowercase())
    .filter(tantivy.Filter.stemmer("english"))
    .build()
)


@dataclass(frozen=True, slots=True)
class Found:
    """Reports found, best first: rows [n] int64 and scores [n] float32."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def write_word_index(folder: Path, reports: Iterable[tuple[int, str, Sequence[str]]]) -> int:
    """Index reports and give their number.

    Args:
        folder: Folder of the index; it must not be there yet.
        reports: Row, text and fact terms of each, by row; at least one.
    """
    folder.mkdir(parents=True)
    meta: dict[str, Any] = {}
    segments: list[dict[str, Any]] = []
    count, left = 0, iter(reports)
    for first in left:
        written, told = _write_segment(folder, chain([first], left))
        count += written
        segments += told["segments"]
        meta = told
    (folder / _META).write_text(json.dumps(meta | {"segments": segments, "opstamp": count}, indent=1) + "\n", "utf-8")
    return count


def _write_segment(folder: Path, reports: Iterable[tuple[int, str, Sequence[str]]]) -> tuple[int, dict[str, Any]]:
    """Write the next reports as one segment into the folder of an index; gives their number and what tantivy notes."""
    count = size = 0
    with TemporaryDirectory(prefix=".part-", dir=folder) as part:
        writer = tantivy.Index(_schema(), path=part).writer(_HEAP, 1)
        for row, text, terms in reports:
            document = tantivy.Document()
            document.add_unsigned("row", row)
            document.add_text("text", text)
            for term in terms:
                document.add_text("fact", term)
            writer.add_document(document)
            count, size = count + 1, size + len(text)
            if count == _SEGMENT_REPORTS or size >= _SEGMENT_CHARACTERS:
                break
        writer.commit()
        writer.wait_merging_threads()
        meta = json.loads((Path(part) / _META).read_text("utf-8"))
        meta["segments"] = [_named_by_content(Path(part), folder, segment) for segment in meta["segments"]]
    return count, meta


def _named_by_content(part: Path, folder: Path, segment: dict[str, Any]) -> dict[str, Any]:
    """Move the files of a segment under a name that follows from their content."""
    files = sorted(part.glob(f"{segment['segment_id'].replace('-', '')}.*"))
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(path.suffix.encode() + hashlib.file_digest(stream, "sha256").digest())
    name = digest.hexdigest()[:32]
    for path in files:
        path.rename(folder / f"{name}{path.suffix}")
    return segment | {"segment_id": "-".join((name[:8], name[8:12], name[12:16], name[16:20], name[20:]))}


class WordIndex:
    """An opened index; one instance serves many threads."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema, links: TemporaryDirectory[str]) -> None:
        self._searcher, self._schema, self._links = searcher, schema, links

    @classmethod
    def read(cls, folder: Path, reports: int) -> WordIndex:
        """Open what `write_word_index` wrote.

        tantivy writes a lock beside an index that it opens, so it is given links to the files elsewhere: a casebook
        is only ever read, and may lie where nothing can be written.

        Raises:
            CasebookError: It is missing, damaged, or of another number of reports.
        """
        links = TemporaryDirectory(prefix="cxr-words-")
        try:
            if not (folder / _META).is_file():
                raise ValueError(f"no {_META}")
            for path in folder.iterdir():
                (Path(links.name) / path.name).symlink_to(path.absolute())
            index = tantivy.Index.open(links.name)
            index.config_reader("manual")
            searcher = index.searcher()
        except (OSError, ValueError) as error:
            links.cleanup()
            raise CasebookError(f"{folder}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
        if searcher.num_docs != reports:
            links.cleanup()
            raise CasebookError(f"{folder}: {searcher.num_docs} reports for {reports}. Rebuild the casebook.")
        return cls(searcher, index.schema, links)

    def by_text(self, text: str, limit: int, allowed: NDArray[np.bool_] | None = None) -> Found:
        """Reports that share words with a text, by BM25; pairs of neighbouring words count too.

        Args:
            text: What is looked for.
            limit: Reports wanted.
            allowed: Whether each case may be found, [N]; None: all may.
        """
        return self._search(self._of_text(text), limit, allowed)

    def by_facts(
        self, wanted: Sequence[Mapping[str, float]], text: str, limit: int, allowed: NDArray[np.bool_] | None = None
    ) -> Found:
        """Reports by index terms of their facts.

        Args:
            wanted: For each wanted fact the weight of each term that answers it; the best that a report has counts,
                and the facts' sum orders the reports.
            text: Words that order reports which the terms leave level.
            limit: As for `by_text`.
            allowed: As for `by_text`.
        """
        facts = [
            Asked.disjunction_max_query(
                [
                    Asked.const_score_query(Asked.term_query(self._schema, "fact", term, "basic"), weight)
                    for term, weight in terms.items()
                ]
            )
            for terms in wanted
            if terms
        ]
        if not facts:
            return _NOTHING
        words = Asked.boost_query(self._of_text(text), _WORDS_BESIDE_FACTS)
        any_fact = Asked.boolean_query([(Occur.Should, one) for one in facts])
        return self._search(Asked.boolean_query([(Occur.Must, any_fact), (Occur.Should, words)]), limit, allowed)

    def _of_text(self, text: str) -> Asked:
        stems = _ANALYSER.analyze(text)
        count = {stem: self._searcher.doc_freq("text", stem) for stem in dict.fromkeys(stems)}
        rarest = sorted((stem for stem in count if count[stem]), key=lambda stem: count[stem])[:_MOST_WORDS]
        kept = set(rarest)
        parts = [Asked.term_query(self._schema, "text", stem) for stem in rarest]
        pairs = dict.fromkeys(pair for pair in pairwise(stems) if kept.issuperset(pair))
        parts += [
            Asked.boost_query(Asked.phrase_query(self._schema, "text", list(pair)), PAIR_WEIGHT)
            for pair in list(pairs)[:_MOST_WORDS]
        ]
        return Asked.boolean_query([(Occur.Should, part) for part in parts])

    def _search(self, query: Asked, limit: int, allowed: NDArray[np.bool_] | None) -> Found:
        if allowed is None:
            return self._hits(query, limit)
        rows = np.flatnonzero(allowed)
        if not len(rows):
            return _NOTHING
        if len(rows) <= _FEW_ROWS:
            among = Asked.const_score_query(Asked.term_set_query(self._schema, "row", rows.tolist()), 0.0)
            return self._hits(Asked.boolean_query([(Occur.Must, query), (Occur.Must, among)]), limit)
        looked_at = 2 * limit
        while True:
            found = self._hits(query, looked_at)
            kept = allowed[found.rows]
            if kept.sum() >= limit or len(found.rows) < looked_at:
                return Found(found.rows[kept][:limit], found.scores[kept][:limit])
            looked_at *= 4

    def _hits(self, query: Asked, limit: int) -> Found:
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        return Found(np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32))


_NOTHING = Found(np.zeros(0, np.int64), np.zeros(0, np.float32))


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name="en_stem", index_option="position")
    builder.add_text_field("fact", tokenizer_name="raw", index_option="basic")
    return builder.build()
