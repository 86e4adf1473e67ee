"""Typed queries made for training, and the loss that reads them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from index_builder.cases.labels import OPENI_LABELS
from index_builder.facts.parse import read_facts
from index_builder.facts.terms import report_terms
from index_builder.systems.losses.queries import query_contrast
from index_builder.systems.queries import Queries
from index_builder.training.queries import QueryMaker, labels_of

_REPORTS = (
    "There is a large left pleural effusion. No pneumothorax. The heart is enlarged.",
    "Nodule in the right upper lobe. No pleural effusion.",
    "",
    "Heart size is normal. The lungs are clear.",
)


def _made(seed: int) -> Queries:
    queries = QueryMaker(OPENI_LABELS).make(_REPORTS, torch.Generator().manual_seed(seed))
    assert queries is not None
    return queries


@given(st.integers(0, 2**32))
def test_a_query_speaks_of_what_its_report_says(seed: int) -> None:
    queries = _made(seed)
    assert len(queries.texts) == len(queries.contraries) == len(queries.case) == len(queries.labels)
    cases = [row for row in queries.case.tolist() if row >= 0]
    assert cases == sorted(cases)
    assert 2 not in cases
    assert queries.case.tolist().count(-1) == (len(cases) + 1) // 2
    assert all([*queries.texts, *queries.contraries])
    assert ((queries.labels == 0) | queries.known).all(), "what is stated is known"
    assert queries.known.any(1).all(), "every query speaks of a label"
    states_of = {
        0: {"Pleural Effusion": 1, "Cardiomegaly": 1},
        1: {"Nodule or Mass": 1, "Pleural Effusion": 0},
        3: {"Cardiomegaly": 0},
    }
    for row, case in enumerate(queries.case.tolist()):
        said = {
            OPENI_LABELS[column]: int(queries.labels[row, column])
            for column in torch.nonzero(queries.known[row])[:, 0].tolist()
        }
        for label, value in states_of.get(case, {}).items():
            assert said.get(label, value) == value, (queries.texts[row], said)


def test_a_contrary_denies_or_takes_the_other_side() -> None:
    contrary, whole = 0, 0
    for seed in range(40):
        queries = _made(seed)
        both = queries.known & queries.contrary_known
        denied = ((queries.labels != queries.contrary_labels) & both).any(1)
        for row, text in enumerate(queries.texts):
            sides = [{fact.side for fact in read_facts(one)} for one in (text, queries.contraries[row])]
            contrary += bool(denied[row]) or sides[0] != sides[1]
            whole += 1
    assert contrary > 0.97 * whole


def test_the_same_seed_gives_the_same_queries() -> None:
    first, second, other = _made(7), _made(7), _made(8)
    assert (first.texts, first.contraries) == (second.texts, second.contraries)
    assert first.texts != other.texts


def test_nothing_is_asked_of_reports_that_say_nothing() -> None:
    assert QueryMaker(OPENI_LABELS).make(["", "Comparison to prior."], torch.Generator()) is None
    assert QueryMaker(("Stage 0", "Stage 9")).make(_REPORTS, torch.Generator()) is None


def test_findings_mean_the_labels_of_their_codes() -> None:
    findings = report_terms().findings
    assert "Pleural Effusion" in labels_of(findings["pleural effusion"])
    assert "Cardiomegaly" in labels_of(findings["cardiomegaly"])
    assert {"Pneumothorax", "pneumothorax"} <= set(labels_of(findings["pneumothorax"]))


def test_most_queries_are_read_back_as_what_they_were_made_of() -> None:
    maker, right, whole = QueryMaker(OPENI_LABELS), 0, 0
    for seed in range(40):
        queries = maker.make(_REPORTS, torch.Generator().manual_seed(seed))
        assert queries is not None
        for text, labels, known in zip(queries.texts, queries.labels, queries.known, strict=True):
            named = [name for fact in read_facts(text) for name in labels_of(report_terms().findings[fact.finding])
                     if fact.finding]  # fmt: skip
            wanted = [OPENI_LABELS[column] for column in torch.nonzero(known)[:, 0].tolist()]
            whole += 1
            right += bool(set(named) & set(wanted))
            assert set(labels.tolist()) <= {0.0, 1.0}
    assert right > 0.9 * whole


def test_loss_by_hand() -> None:
    query, contrary = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    reports = functional.normalize(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 0.0]]), dim=1)
    without = torch.tensor([[False, False, True]])
    found = query_contrast(query, contrary, reports, torch.tensor([1]), without, 0.5)
    own, to_contrary, lacking = 2**-0.5 / 0.5, 0.0, -1 / 0.5
    chosen = -math.log(math.exp(own) / (math.exp(own) + math.exp(to_contrary) + math.exp(lacking)))
    preferred = -math.log(1 / (1 + math.exp(-(2 * 2**-0.5) / 0.5)))
    assert float(found) == pytest.approx((chosen + preferred) / 2, rel=1e-5)
    nearer = query_contrast(reports[1:2], contrary, reports, torch.tensor([1]), without, 0.5)
    assert nearer < found
