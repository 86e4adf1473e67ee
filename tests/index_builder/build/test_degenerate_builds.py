"""Collections that leave nothing to tell apart: each builds, opens and answers, and no figure of it is NaN.

Each has the fewest cases that reach the stage it is meant for: 12 for UMAP and t-SNE, 16 for clusters, 20 for
calibration and the check of films, twice as many again where parts are looked at.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from places import APP
from streamlit.testing.v1 import AppTest
from tiny_samples import WORDS

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.explanation.explain import Question, explain, findings_of, methods_for, open_study
from explorer.maps.colouring import colour_fields, colouring, shape_fields, shapes
from explorer.maps.points import map_points, neighbours_kept, place_query
from explorer.maps.refit import refit
from explorer.maps.selection import label_excess, selection_csv
from explorer.prediction.words import assessment_lines
from explorer.quality.check import check_quality
from explorer.report.html import read_sources, write_report
from explorer.search.counter_evidence import counter_evidence
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, build
from index_builder.build.subset import write_subset
from index_builder.casebook.manifest import verify
from index_builder.evaluation.stored import measure_casebook
from index_builder.maps.maps import LEAST_CASES

# What divides zero by zero is on its way to a page.
pytestmark = [pytest.mark.filterwarnings("error::RuntimeWarning"), pytest.mark.timeout(600)]

_SECTIONS = ("Overview", "Findings", "Confidence", "Retrieval", "Systems", "Data quality")
_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Collection:
    """What a manifest holds: everything that is not said is the same in every case.

    Attributes:
        cases: How many.
        film, report: The same of all cases, one of each case's own, or none.
        labels: Of the first, second, … case, and from the start again.
        parts: Likewise; none: by hash.
        one_patient: Whether all are of one patient.
        profile: Whether age, sex and view are given.
        system: Fixture of what embeds.
    """

    cases: int
    film: Literal["same", "own", "blank", "none"] = "same"
    report: Literal["same", "own", "none"] = "same"
    labels: tuple[str, ...] = ("Cardiomegaly",)
    parts: tuple[str, ...] = ()
    one_patient: bool = False
    profile: bool = True
    system: str = "tiny_checkpoint"


_OWN: dict[str, Any] = {"film": "own", "report": "own"}
COLLECTIONS = {
    "one case": Collection(1),
    "two equal": Collection(2),
    "three equal": Collection(3),
    "five equal": Collection(5),
    "15 equal": Collection(15),
    "40 equal": Collection(40),
    "one film": Collection(12, report="own", labels=("Cardiomegaly", "Nodule")),
    "one report": Collection(12, film="own", labels=("Cardiomegaly", "Nodule")),
    "blank films alone": Collection(12, "blank", "none", labels=("",), profile=False),
    "no report": Collection(16, "own", "none", labels=("Cardiomegaly", "")),
    "no film": Collection(16, "none", "own", labels=("Cardiomegaly", "")),
    "no film, equal": Collection(16, "none"),
    "no label": Collection(66, **_OWN, labels=("",), parts=_PARTS),
    "one label": Collection(66, **_OWN, parts=_PARTS),
    "one patient": Collection(24, **_OWN, labels=("Cardiomegaly", "Nodule", ""), one_patient=True),
    "all in train": Collection(24, **_OWN, labels=("Cardiomegaly", ""), parts=("train",)),
    "all in val, equal": Collection(24, labels=("Cardiomegaly", ""), parts=("val",)),
    "all in test": Collection(24, **_OWN, labels=("Cardiomegaly", ""), parts=("test",)),
    "equal in all parts": Collection(66, labels=("Cardiomegaly", "Nodule"), parts=_PARTS),
    "stages, equal": Collection(66, labels=("Stage 1", "Stage 2"), parts=_PARTS, system="tiny_mskpt"),
    "one stage": Collection(66, **_OWN, labels=("Stage 1",), parts=_PARTS, system="tiny_mskpt"),
    "profiles, equal": Collection(66, report="none", labels=("Stage 1", "Stage 2"), parts=_PARTS, system="tiny_siclip"),
}
#: Those whose pages are drawn and whose cases are explained: one of every kind of lack.
DRAWN = ("one case", "15 equal", "blank films alone", "no film, equal", "no label", "one label", "profiles, equal")


def quiet(*step: object) -> None:
    """Progress that nobody watches."""


def write_collection(folder: Path, said: Collection) -> Path:
    random = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "patient_id", "image", "report", "labels", "age", "sex", "view", "split"])
        for number in range(said.cases):
            name = {"none": "", "own": f"{number}.png"}.get(said.film, "same.png")
            if name and not (folder / name).exists():
                pixels = random.integers(0, 256, (9, 8), np.uint8) * (said.film != "blank")
                Image.fromarray(pixels.astype(np.uint8)).resize((64, 72), Image.Resampling.NEAREST).save(folder / name)
            reports = {"same": "heart size normal . no effusion", "own": " ".join(random.choice(WORDS, 12)), "none": ""}
            writer.writerow(
                [
                    f"case-{number:02d}",
                    "one" if said.one_patient else f"patient-{number:02d}",
                    name,
                    reports[said.report],
                    said.labels[number % len(said.labels)],
                    *((60, "F", "PA") if said.profile else ("", "", "")),
                    said.parts[number % len(said.parts)] if said.parts else "",
                ]
            )
    return folder


Build = Callable[[str], Path]


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a collection by its name, once for all tests of it."""

    @cache
    def build_once(name: str) -> Path:
        said = COLLECTIONS[name]
        folder = write_collection(tmp_path_factory.mktemp("source"), said)
        out = tmp_path_factory.mktemp("casebooks") / re.sub(r"\W+", "-", name)
        build(BuildRequest("manifest", folder, out, request.getfixturevalue(said.system)), quiet)
        return out

    return build_once


def assert_finite(content: Any) -> None:
    json.dumps(content, allow_nan=False)


def queries(casebook: Casebook) -> dict[str, Query]:
    """One of every kind that the casebook's system reads."""
    film = np.random.default_rng(1).random((72, 64), np.float32)
    worded: dict[str, Any] = {"text": "no effusion"}
    if casebook.manifest.system.reads == "profile":
        worded = {"profile": {"age": 60}} if casebook.profile_fields else {}
    found = {
        "film": Query(pixels=film),
        "blank film": Query(pixels=np.zeros((72, 64), np.float32)),
        "case": Query(case_id="case-00"),
    }
    return found | ({"words": Query(**worded), "both": Query(pixels=film, **worded)} if worded else {})


@pytest.mark.parametrize("name", COLLECTIONS)
def test_it_is_sound_and_its_cases_have_finite_places(built: Build, name: str) -> None:
    opened = Casebook.open(built(name))
    assert verify(opened.folder) == []
    assert_finite([opened.summary(), opened.maps.model_dump(), opened.metrics, opened.manifest.model_dump()])
    assert all(opened.thumbnail(case_id) or not opened.case(case_id).image for case_id in opened.case_ids)
    for space in opened.spaces:
        held = opened.has_vector(space)
        assert len(opened.clusters(space)) == len(opened)
        for name in opened.map_names(space):
            places = opened.projection(space, name)[held]
            assert np.isfinite(places).all()
            assert np.abs(places).max() < 1000
            assert held.sum() == 1 or np.ptp(places, axis=0).max() > 0.01  # a spot cannot be zoomed into


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_query_is_answered(built: Build, name: str) -> None:
    opened = Casebook.open(built(name))
    several = [
        SearchOptions(),
        SearchOptions(rerank=1.0),
        SearchOptions(one_per_patient=True),
        SearchOptions(hide_duplicates=True),
        SearchOptions(filters=(parse_filter("split=test"),)),
    ]
    for kind, query in queries(opened).items():
        for options in several if kind == "case" else several[:2]:
            result = search_cases(opened, query, options)
            assert_finite(result.as_dict())
            if result.assessment is not None:
                assert "nan" not in " ".join(assessment_lines(result.assessment, 5))
        result = search_cases(opened, query)
        among = np.flatnonzero(opened.has_vector(result.space))
        placed = place_query(opened, result.space, opened.projection(result.space), among, query, result)
        assert placed is None or np.isfinite(placed.position).all()
        for label in opened.label_names[:1]:
            assert_finite(counter_evidence(opened, query, label, SearchOptions()).as_dict())


@pytest.mark.parametrize("name", DRAWN)
def test_a_case_is_explained(built: Build, name: str) -> None:
    opened = Casebook.open(built(name))
    study, last = (open_study(opened, Query(case_id=opened.case_ids[row])) for row in (0, len(opened) - 1))
    for part in study.parts:
        questions = [Question(one.label, None, part) for one in findings_of(opened, study, part)[:1]]
        for question in [*questions, Question(None, last, part)]:
            for method in methods_for(opened, study, question):
                if method != "integrated-gradients":  # sixteen passes each, and no division of its own
                    assert_finite(explain(opened, study, question, method).as_dict())


@pytest.mark.parametrize("name", COLLECTIONS)
def test_its_maps_can_be_coloured_chosen_from_and_drawn_anew(built: Build, name: str) -> None:
    opened = Casebook.open(built(name))
    everything, first = np.ones(len(opened), bool), np.arange(len(opened)) == 0
    for space in opened.spaces:
        for field in colour_fields(opened, space):
            points = map_points([opened.projection(space)], colouring(opened, space, field), everything)
            assert len(points.rows) == opened.has_vector(space).sum()
        kept = neighbours_kept(opened, space, opened, opened.spaces[-1])
        assert kept is None or 0 <= kept <= 1
        assert b"nan" not in selection_csv(opened, np.array([0]), space, opened.map_names(space)[0]).lower()
    for field in shape_fields(opened):
        assert len(shapes(opened, field)[1]) == len(opened)
    for one in label_excess(opened.label_matrix, opened.label_names, first):
        assert np.isfinite([one.odds_ratio, *one.interval, one.p, one.q]).all()
    space = opened.spaces[0]
    held = opened.has_vector(space)
    if held.sum() >= LEAST_CASES:
        anew = refit(opened, space, "umap", np.arange(len(opened)), quiet)
        assert np.isfinite(anew.positions[held]).all()


@pytest.mark.parametrize("name", COLLECTIONS)
def test_figures_report_and_parts_of_it_hold_no_nan(built: Build, name: str, tmp_path: Path) -> None:
    casebook = built(name)
    assert_finite(measure_casebook(casebook, quiet))
    assert_finite(check_quality(Casebook.open(casebook), quiet).as_dict())
    page = tmp_path / "report.html"
    write_report(read_sources([casebook]), page, quiet)
    shown = re.sub(r"<script.*?</script>|<[^>]+>", " ", page.read_text("utf-8"), flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b", shown)
    opened = Casebook.open(built(name))
    for chosen in ([opened.case_ids[0]], list(opened.case_ids)):
        part = tmp_path / f"{len(chosen)}-of-them"
        write_subset(casebook, chosen, part, quiet, replace=True)
        assert verify(part) == []
        assert_finite(search_cases(Casebook.open(part), Query(case_id=chosen[0])).as_dict())


@pytest.mark.parametrize("name", DRAWN)
def test_every_page_is_drawn(built: Build, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(built(name))])
    app = AppTest.from_file(APP, default_timeout=120).run()
    assert_calm(app)
    for page in ("case", "explain", "map", "about", "evaluation"):
        app.switch_page(f"../../pages/{page}.py").run()
        assert_calm(app)
    for section in _SECTIONS:
        app.button_group(key="section").set_value(section).run()
        assert_calm(app)


def assert_calm(app: AppTest) -> None:
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    said = " ".join(str(one.value) for kind in ("html", "caption", "markdown", "metric") for one in app.get(kind))
    assert not re.search(r"\b(nan|NaN)\b", re.sub(r"<[^>]+>", " ", said))
