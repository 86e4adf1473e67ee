"""The queries that text search is measured with ask for what the coders wrote."""

from __future__ import annotations

import pytest
from benchmarks.text_findings import FINDINGS, LUNG_DISEASE
from benchmarks.text_queries import KINDS, LEAST_RELEVANT, CodedReports, Part, Target, TextQuery, text_queries

from index_builder.cases.case import Case
from index_builder.datasets.published.openi import OpenI

_FINDINGS = {finding.name: finding for finding in FINDINGS}
EFFUSION, NODULE, ATELECTASIS, PACEMAKER = (
    _FINDINGS[name] for name in ("pleural effusion", "nodule", "atelectasis", "pacemaker")
)


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return tuple(OpenI().cases())


@pytest.fixture(scope="module")
def queries(cases: tuple[Case, ...]) -> dict[Part, list[TextQuery]]:
    return {"val": text_queries(cases, "val"), "test": text_queries(cases, "test")}


@pytest.mark.parametrize(
    ("target", "codes", "relevant"),
    [
        (Target(EFFUSION, "left"), ["Pleural Effusion/left/small"], True),
        (Target(EFFUSION, "left"), ["Pleural Effusion/bilateral"], True),
        (Target(EFFUSION, "left"), ["Pleural Effusion/right", "Opacity/lung/base/left"], False),
        (Target(EFFUSION, "bilateral"), ["Pleural Effusion/right", "Pleural Effusion/left"], True),
        (Target(EFFUSION, "bilateral"), ["Pleural Effusion/right"], False),
        (Target(EFFUSION), ["Costophrenic Angle/blunted/left"], False),
        (Target(EFFUSION, "left", degree="small"), ["Pleural Effusion/left", "Pleural Effusion/right/small"], False),
        (Target(NODULE, "right", "upper lobe"), ["Nodule/lung/upper lobe/right/small"], True),
        (Target(NODULE, "right", "upper lobe"), ["Opacity/lung/upper lobe/right/round"], True),
        (Target(NODULE, "right", "upper lobe"), ["Opacity/lung/upper lobe/right"], False),
        (Target(NODULE, "right", "upper lobe"), ["Nodule/lung/right", "Opacity/lung/upper lobe/right"], False),
        (Target(NODULE, "left"), ["Nodule/lung/lingula"], True),
        (Target(ATELECTASIS, "left", "lower lobe"), ["Pulmonary Atelectasis/base/left"], False),
        (Target(PACEMAKER), ["Implanted Medical Device/left"], True),
        (Target(PACEMAKER), ["Implanted Medical Device/humerus/right"], False),
        (Target(EFFUSION, absent=True), ["normal"], True),
        (Target(EFFUSION, absent=True), ["Cardiomegaly"], True),
        (Target(EFFUSION, absent=True), ["Cardiomegaly", "Pleural Effusion/left"], False),
        (Target(EFFUSION, absent=True), [], False),
        (Target(EFFUSION, absent=True), ["No Indexing"], False),
        (Target(LUNG_DISEASE, absent=True), ["Scoliosis/mild"], True),
        (Target(LUNG_DISEASE, absent=True), ["Calcified Granuloma/lung/left"], False),
    ],
)
def test_one_code_says_all_that_is_asked_for(target: Target, codes: list[str], relevant: bool) -> None:
    assert target.relevant(codes) is relevant
    assert CodedReports([codes, ["Cardiomegaly"]]).relevant(target)[:1] == ([0] if relevant else [1][: target.absent])


def test_two_parts_of_every_kind_share_no_wording(queries: dict[Part, list[TextQuery]]) -> None:
    texts = {part: {query.text.lower() for query in own} for part, own in queries.items()}
    assert not texts["val"] & texts["test"]
    for part, own in queries.items():
        assert len(texts[part]) == len(own) >= 400
        assert all(sum(query.kind == kind for query in own) >= 50 for kind in KINDS)


def test_every_query_has_answers_in_its_part(cases: tuple[Case, ...], queries: dict[Part, list[TextQuery]]) -> None:
    reports = CodedReports([case.codes for case in cases])
    for part, own in queries.items():
        for target in {query.target for query in own}:
            rows = reports.relevant(target)
            assert len(rows) >= LEAST_RELEVANT
            assert any(cases[row].split == part for row in rows)
    within = text_queries(cases, "val", within=True)
    assert {query.text for query in within} < {query.text for query in queries["val"]}


def test_a_slip_is_small(queries: dict[Part, list[TextQuery]]) -> None:
    for own in queries.values():
        spelt = {(query.target, query.text.replace(" ", "")) for query in own if query.kind != "typo"}
        joined = [
            query for query in own if query.kind == "typo" and (query.target, query.text.replace(" ", "")) in spelt
        ]
        assert joined
        assert len(joined) < len([query for query in own if query.kind == "typo"])
