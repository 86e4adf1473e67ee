"""A query as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.search.query import Query
from explorer.search.reading.film_report import FilmReport, examine, look
from explorer.search.reading.text_report import TextReport, examine_text
from explorer.search.reading.understanding import understand_query
from index_builder.calibration.held_out import Given
from index_builder.cases.profile import text_read
from index_builder.cases.space import Space
from index_builder.errors import QueryError
from index_builder.facts.understand import Understood
from index_builder.systems.graphs.cases import fused
from index_builder.systems.graphs.encoder import EncodedBatch


@dataclass(frozen=True, slots=True)
class Encoded:
    """A query as it is searched with.

    Attributes:
        vectors: By modality, [D] float32.
        text: As it was read, misspelt words corrected and abbreviations written out; of a case, what the system reads
            of it.
        films: What is known of each film, and what is wrong with it.
        report: What is wrong with the text.
        understood: What the text says, where reports are searched.
    """

    vectors: Mapping[Space, NDArray[np.float32]]
    text: str
    films: tuple[FilmReport, ...] = ()
    report: TextReport | None = None
    understood: Understood | None = None

    @property
    def clear(self) -> bool:
        """Whether film and text are such that findings can be shared with them."""
        return not any(film.flags for film in self.films) and (self.report is None or self.report.readable)

    @property
    def one_lateral(self) -> bool:
        """Whether the query is one film and nothing else, and that film a lateral."""
        return len(self.films) == 1 and self.films[0].is_lateral and not self.text


def encode(casebook: Casebook, query: Query) -> Encoded:
    """Embed a query once, by all modalities it has, and look for what is wrong with it."""
    if query.case_id is not None:
        row = casebook.row(query.case_id)
        own = {space: casebook.vectors(space)[row].astype(np.float32) for space in casebook.spaces}
        held = {space: vector / np.linalg.norm(vector) for space, vector in own.items() if vector.any()}
        return Encoded(held, text_read(casebook.case(query.case_id), casebook.manifest.system.reads))
    if query.typed and not casebook.manifest.system.text_encoder:
        raise QueryError(
            f"the encoder of casebook {casebook.name!r} reads films, not texts. Search with a film or a case alone."
        )
    encoder = casebook.encoder
    vectors: dict[Space, NDArray[np.float32]] = {}
    understood = understand_query(casebook, query)
    text = query.typed if understood is None else understood.spelled_out
    films: tuple[FilmReport, ...] = ()
    image = None
    if query.films:
        image, films, vectors["image"] = _films(casebook, query)
    words = encoder.encode_texts([text]) if text else None
    if words is not None:
        vectors["text"] = words.vectors[0]
    vectors["joint"] = encoder.join(image, words)[0]
    report = examine_text(casebook, text, () if understood is None else understood.corrections) if text else None
    return Encoded(vectors, text, films, report, understood)


def _films(casebook: Casebook, query: Query) -> tuple[EncodedBatch, tuple[FilmReport, ...], NDArray[np.float32]]:
    """Encoding of the film that is joined with a text, what is known of each, and the vector of all, [D]."""
    seen = [look(casebook.encoder, pixels) for pixels, _ in query.films]
    reports = tuple(examine(casebook, pixels, view, one) for (pixels, view), one in zip(query.films, seen, strict=True))
    # As in a case, whose primary film is a frontal one wherever there is one.
    first = next((number for number, report in enumerate(reports) if not report.is_lateral), 0)
    every = np.concatenate([one.vectors for one in seen])
    return seen[first], reports, fused(every, np.array([len(every)]))[0]


def given(query: Query) -> Given | None:
    """What a query's vector is made of; None where film and text count differently."""
    text = bool(query.typed)
    if query.pixels is None:
        return "text"
    if not text:
        return "image" if query.second is None else "films"
    return "joint" if query.image_weight == 0.5 else None


def own_space(casebook: Casebook, query: Query) -> Space:
    """The space of a query's own modality, where the casebook has it."""
    if query.pixels is not None and not query.typed:
        own: Space = "image"
    elif query.pixels is None and query.case_id is None:
        own = "text"
    else:
        own = "joint"
    return own if own in casebook.spaces else "joint"


def query_vector(embedded: Encoded, query: Query, space: Space) -> NDArray[np.float32]:
    """The query's vector for a space. All spaces share their axes, so a film can be looked up among reports."""
    vectors = embedded.vectors
    if query.case_id is not None:
        if space not in vectors:
            raise QueryError(f"case {query.case_id!r} has no {space} vector. Search another space.")
        return vectors[space]
    image, text, joint = vectors.get("image"), vectors.get("text"), vectors["joint"]
    if image is not None and text is not None:
        # The weight leads from the text by way of the joint vector, at a half, to the film.
        share = abs(2 * query.image_weight - 1)
        mixed = (1 - share) * joint + share * (image if query.image_weight > 0.5 else text)
        return np.asarray(mixed / (np.linalg.norm(mixed) or 1.0), np.float32)
    single = image if image is not None else text
    return joint if single is None or space == "joint" else single
