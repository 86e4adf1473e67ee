"""`cxr-explorer search` and `facets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import CasebookArgument, FilmsOption, JsonOption, ProfileOption, TextOption, print_json
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import QueryError

if TYPE_CHECKING:
    from explorer.search.counter_evidence import CounterEvidence
    from explorer.search.result import SearchResult

#: Predicted findings that are printed.
_PREDICTIONS = 5
#: Values of a field that are printed.
_FACETS = 15

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="Condition, e.g. label=Cardiomegaly, label!=Normal, split=train, age=40..60, "
        '"finding=nodule@right upper lobe", '
        "side=left, site=upper lobe, degree=mild. Repeatable.",
    ),
]


def search(
    casebook: CasebookArgument,
    images: FilmsOption = None,
    text: TextOption = None,
    profile: ProfileOption = None,
    case: Annotated[str | None, typer.Option(help="Find more like this case of the casebook.")] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbours wanted.")] = 5,
    filters: FilterOption = None,
    space: Annotated[str | None, typer.Option(help="image, text or joint; default: fits the query.")] = None,
    image_weight: Annotated[
        float, typer.Option(help="Image/text weight: 0 leaves the film out, 1 the text or profile.")
    ] = 0.5,
    rerank: Annotated[
        float,
        typer.Option(help="Reorder by shared findings: 0 is similarity alone, 1 the system's mixture with findings."),
    ] = 0.0,
    one_per_patient: Annotated[bool, typer.Option(help="Keep only the best case of each patient.")] = False,
    hide_duplicates: Annotated[bool, typer.Option(help="Leave out copies of a film or report.")] = False,
    mode: Annotated[
        str, typer.Option(help="How a text finds reports: hybrid (words, facts and vectors), dense or lexical.")
    ] = "hybrid",
    exact_words: Annotated[
        bool, typer.Option("--exact-words", help="Search for a text as typed, without correcting misspelt words.")
    ] = False,
    all_films: Annotated[
        bool, typer.Option("--all-films", help="Compare a lateral with all films of each case, not only with laterals.")
    ] = False,
    counter: Annotated[
        str | None,
        typer.Option("--counter-evidence", help="Finding whose nearest cases are shown too, with it and without it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the cases nearest to a query: one or two films of a study, a text or profile, films with either, or a case.

    A lateral film alone is compared with lateral films.
    """
    from time import perf_counter

    from explorer.casebook import Casebook
    from explorer.search.counter_evidence import counter_evidence
    from explorer.search.filters.expression import parse_filter
    from explorer.search.profiles import parse_profile
    from explorer.search.query import MODES, Query, SearchOptions
    from explorer.search.search import search_cases
    from index_builder.cases.space import SPACES
    from index_builder.imaging import read_film

    began = perf_counter()
    chosen = next((name for name in SPACES if name == space), None)
    if space is not None and chosen is None:
        raise QueryError(f"--space {space}: give one of {', '.join(SPACES)}.")
    how = next((name for name in MODES if name == mode), None)
    if how is None:
        raise QueryError(f"--mode {mode}: give one of {', '.join(MODES)}.")
    options = SearchOptions(
        k=k,
        space=chosen,
        filters=tuple(parse_filter(expression) for expression in filters or ()),
        rerank=rerank,
        one_per_patient=one_per_patient,
        hide_duplicates=hide_duplicates,
        mode=how,
        all_films=all_films,
    )
    opened = Casebook.open(casebook)
    opened_at = perf_counter()
    patient = None if profile is None else parse_profile(opened, profile)
    films = [read_film(image) for image in images or ()]
    if len(films) > 2:
        raise QueryError(f"{len(films)} films: give one, or the two views of one study.")
    decoded_at = perf_counter()
    (pixels, view), (second, second_view) = ([(film.pixels, film.view) for film in films] + [(None, None)] * 2)[:2]
    query = Query(pixels, text, case, image_weight, patient, view, not exact_words, second, second_view)
    result = search_cases(opened, query, options)
    against = None if counter is None else counter_evidence(opened, query, counter, options)
    before = {"open": 1e3 * (opened_at - began), "decode": 1e3 * (decoded_at - opened_at)}
    if as_json:
        beside = {} if against is None else {"counter_evidence": against.as_dict()}
        notes = {"film_notes": [note for film in films for note in film.notes]} if films else {}
        print_json(result.as_dict() | {"timings_ms": _rounded(before | dict(result.timings_ms))} | notes | beside)
    else:
        _print_neighbours(result, against, [note for film in films for note in film.notes])


def facets(casebook: CasebookArgument, filters: FilterOption = None, as_json: JsonOption = False) -> None:
    """Count cases by what their reports state, by view, age and part of the data."""
    from explorer.casebook import Casebook
    from explorer.search.filters.expression import parse_filter
    from explorer.search.filters.facets import facets as counted

    found = counted(Casebook.open(casebook), [parse_filter(expression) for expression in filters or ()]).as_dict()
    if as_json:
        print_json(found)
        return
    print(f"{found.pop('cases')} cases")
    for field, counts in found.items():
        several = list(counts.items())
        more = f" and {len(several) - _FACETS} more" if len(several) > _FACETS else ""
        told = ", ".join(f"{name} {count}" for name, count in several[:_FACETS])
        print(f"{field + ':':<9} {told or 'none'}{more}")


def _print_neighbours(result: SearchResult, against: CounterEvidence | None, notes: Sequence[str]) -> None:
    from explorer.cases.labelled import labelled_words
    from explorer.prediction.words import assessment_lines
    from explorer.search.closeness import closeness_words
    from explorer.search.reading.understanding import fact_words

    for words in result.warnings:
        print(f"CAUTION: {words}")
    for note in notes:
        print(f"film: {note}")
    if len(result.films) == 1 and result.films[0].is_lateral and not result.films[0].flags:
        compared = "lateral films (all films: --all-films)" if result.laterals else "all films of each case"
        by = "its header" if result.films[0].view_by == "header" else "likeness to the films here"
        print(f"the film is a lateral by {by}; compared with {compared}")
    if result.mode == "hybrid" and result.understood is not None and result.understood.facts:
        print(f"searched for: {'; '.join(map(fact_words, result.understood.facts))}")
    for one in result.neighbours:
        mark = "  [synthetic]" if one.synthetic else ""
        labels = labelled_words(one.labels, one.unknown_labels)
        print(f"{one.rank:3d}  {one.score:.3f}  {one.case_id}  {closeness_words(one.closeness)}  {labels}{mark}")
        if one.film is not None:
            print(f"     film: {one.film}")
        if one.profile:
            print(f"     {one.profile}")
        if one.matched_facts:
            print(f"     report says: {'; '.join(one.matched_facts)}")
        if one.shared_phrases:
            print(f"     shared words: {'; '.join(one.shared_phrases)}")
        for label, sentence in one.denied_labels.items():
            print(f"     {label} as coded; the report says: {sentence}")
    if not result.neighbours:
        print("no report contains a word of the text" if result.mode == "lexical" else "no case meets the filters")
    if result.assessment is not None:
        print("predictions. " + "\n".join(assessment_lines(result.assessment, _PREDICTIONS)))
    for title, row in () if against is None else (("with", against.present), ("without", against.absent)):
        print(f"nearest {title} {against.label if against else ''}:")
        for one in row:
            print(f"  {one.score:.3f}  {one.case_id}  {labelled_words(one.labels, one.unknown_labels)}")
    print(DISCLAIMER)


def _rounded(timings: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in timings.items()}
