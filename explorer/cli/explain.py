"""`cxr-explorer explain`: overlays and word weights from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import CasebookArgument, ImageOption, JsonOption, ProfileOption, TextOption, print_json
from index_builder.errors import QueryError

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.explanation.explain import Answer, Question
    from explorer.explanation.study import Study
    from index_builder.explanation import Method


def explain(
    casebook: CasebookArgument,
    out: Annotated[Path, typer.Option(help="Folder for METHOD.json and, if there is a film, METHOD.png.")],
    image: ImageOption = None,
    text: TextOption = None,
    profile: ProfileOption = None,
    case: Annotated[str | None, typer.Option(help="A case of the casebook.")] = None,
    film_number: Annotated[
        int, typer.Option("--film-number", min=1, help="Which film of the case, if it has several.")
    ] = 1,
    finding: Annotated[str | None, typer.Option(help="Explain this finding; default: the strongest predicted.")] = None,
    with_case: Annotated[str | None, typer.Option(help="Explain the similarity to this case of the casebook.")] = None,
    part: Annotated[str, typer.Option(help="What the system reads: joint (film and text), image or text.")] = "joint",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="attention, grad-cam, integrated-gradients or similarity; repeatable; default: all that apply.",
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Stage of the image encoder for grad-cam; default: last.")] = None,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the strongest values.")] = 0.8,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Share of the scale that is left out.")] = 0.15,
    as_json: JsonOption = False,
) -> None:
    """Show which regions and words speak for a finding, or make a case similar to another."""
    from explorer.casebook import Casebook
    from explorer.cli.progress import bar
    from explorer.explanation.explain import Question, findings_of, open_study
    from explorer.explanation.explain import explain as answered
    from explorer.explanation.words import (
        DISCLAIMER,
        METHOD_WORDS,
        place_lines,
        question_words,
        score_words,
        warning_words,
    )
    from explorer.search.profiles import parse_profile
    from explorer.search.query import Query
    from index_builder.cases.space import SPACES
    from index_builder.imaging import read_film

    read = next((name for name in SPACES if name == part), None)
    if read is None:
        raise QueryError(f"--part {part}: give one of {', '.join(SPACES)}.")
    if finding is not None and with_case is not None:
        raise QueryError("--finding and --with-case ask two questions. Leave one out.")
    opened = Casebook.open(casebook)
    patient = None if profile is None else parse_profile(opened, profile)
    film = None if image is None else read_film(image)
    for note in () if film is None or as_json else film.notes:
        print(f"film: {note}")
    pixels, view = (None, None) if film is None else (film.pixels, film.view)
    study = open_study(opened, Query(pixels, text, case, profile=patient, view=view), film_number - 1)
    compared = None if with_case is None else open_study(opened, Query(case_id=with_case))
    warnings = warning_words(study)
    for words in () if as_json else warnings:
        print(f"CAUTION: {words}")
    if finding is None and compared is None:
        finding = findings_of(opened, study, read)[0].label
    question = Question(finding, compared, read)
    written = []
    for method in _chosen(opened, study, question, methods or []):
        with bar() as advance:

            def show(done: int, total: int, title: str = METHOD_WORDS[method].title) -> None:
                advance(title, done, total)

            stage = layer if method == "grad-cam" else None
            answer = answered(opened, study, question, method, layer=stage, progress=show)
        files = [str(file) for file in _write(opened, answer, out, opacity, threshold)]
        score = answer.sides[0].explanation.score
        written.append({"method": method, "score": score, "places": list(place_lines(answer)), "files": files})
        if not as_json:
            print(f"{METHOD_WORDS[method].title}: {question_words(question)}; {score_words(opened, answer)}")
            for words in place_lines(answer):
                print(f"  {words}")
            print(f"  {', '.join(files)}")
    if as_json:
        asked = {"warnings": list(warnings), "synthetic": study.synthetic, "question": question_words(question)}
        print_json({"disclaimer": DISCLAIMER, **asked, "explanations": written})
    else:
        print(DISCLAIMER)


def _chosen(casebook: Casebook, study: Study, question: Question, named: list[str]) -> list[Method]:
    from explorer.explanation.explain import methods_for

    known = methods_for(casebook, study, question)
    for name in named:
        if name not in known:
            raise QueryError(f"--method {name}: not offered here. Give one of {', '.join(known)}.")
    return [method for method in known if not named or method in named]


def _write(casebook: Casebook, answer: Answer, out: Path, opacity: float, threshold: float) -> list[Path]:
    from explorer.explanation.picture import figure_png, panels_of
    from explorer.explanation.words import DISCLAIMER, legend

    content = {"disclaimer": DISCLAIMER, "casebook": casebook.name, **answer.as_dict()}
    files = [out / f"{answer.method}.json"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        files[0].write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if answer.scale is not None:
            files.append(out / f"{answer.method}.png")
            words = legend(casebook, answer, threshold)
            picture = figure_png(panels_of(answer), answer.scale, words, opacity=opacity, threshold=threshold)
            files[1].write_bytes(picture)
    except OSError as error:
        raise QueryError(f"{out}: cannot be written ({error.strerror}). Choose another folder: --out") from None
    return files
