"""The findings graph says what coders wrote: right triples, right counts, one order."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.cases.case import Case
from index_builder.cases.labels import NIH_LABELS, OPENI_LABELS, openi_labels
from index_builder.reranking.findings_graph import MIN_CO_OCCURRENCE, FindingsGraph, Node, findings_graph

CODES = (
    "Opacity/lung/base/left/mild",
    "Opacity/lung/round",
    "Lung/hypoinflation",
    "Lung/hyperdistention/severe",
    "Aorta/tortuous/mild",
    "Cardiomegaly",
    "Pleural Effusion/bilateral/small",
    "No Indexing",
    "normal",
)


def cases_of(*coded: Iterable[str]) -> list[Case]:
    return [
        Case(str(number), str(number), "train", openi_labels(codes), codes=tuple(codes))
        for number, codes in enumerate(coded)
    ]


def labelled(*labels: tuple[str, ...]) -> list[Case]:
    return [Case(str(number), str(number), "train", one) for number, one in enumerate(labels)]


def relations(graph: FindingsGraph) -> dict[tuple[str, str, str], int]:
    return {(str(one.head), one.relation, str(one.tail)): one.count for one in graph.triples}


def count(graph: FindingsGraph, node: Node) -> int:
    return graph.node_counts[graph.nodes.index(node)]


def test_a_code_ties_its_finding_to_class_site_side_and_severity() -> None:
    graph = findings_graph(cases_of(["Opacity/lung/base/left/mild"]), OPENI_LABELS)
    assert relations(graph) == {
        ("finding:opacity", "is_a", "class:Opacity"): 1,
        ("finding:opacity", "located_at", "site:base"): 1,
        ("finding:opacity", "located_at", "site:lung"): 1,
        ("finding:opacity", "on_side", "side:left"): 1,
        ("finding:opacity", "of_severity", "severity:mild"): 1,
    }


def test_a_code_of_two_classes_is_both() -> None:
    found = relations(findings_graph(cases_of(["Opacity/lung/round"]), OPENI_LABELS))
    assert ("finding:opacity", "is_a", "class:Opacity") in found
    assert ("finding:opacity", "is_a", "class:Nodule or Mass") in found


def test_states_of_one_place_are_findings_of_their_own() -> None:
    found = relations(findings_graph(cases_of(["Lung/hypoinflation"], ["Lung/hyperdistention/severe"]), OPENI_LABELS))
    assert ("finding:lung/hypoinflation", "is_a", "class:Hypoinflation") in found
    assert ("finding:lung/hyperdistention", "is_a", "class:Hyperinflation or Emphysema") in found
    assert ("finding:lung/hypoinflation", "is_a", "class:Hyperinflation or Emphysema") not in found
    assert ("finding:lung/hypoinflation", "located_at", "site:lung") in found
    assert ("finding:lung/hyperdistention", "of_severity", "severity:severe") in found


def test_counts_are_cases_not_mentions() -> None:
    graph = findings_graph(
        cases_of(["Nodule/lung", "Nodule/lung/left"], ["Nodule/lung"], ["nodule"], ["Cardiomegaly"]), OPENI_LABELS
    )
    found = relations(graph)
    assert found["finding:nodule", "located_at", "site:lung"] == 2
    assert found["finding:nodule", "is_a", "class:Nodule or Mass"] == 3
    assert count(graph, Node("finding", "nodule")) == 3
    assert count(graph, Node("class", "Cardiomegaly")) == 1
    assert count(graph, Node("class", "Scarring")) == 0
    assert graph.cases == 4


def test_a_finding_without_any_relation_is_no_node_but_every_class_is() -> None:
    graph = findings_graph(cases_of(["No Indexing"]), OPENI_LABELS)
    assert [node.name for node in graph.nodes] == sorted(OPENI_LABELS)
    assert graph.triples == ()


def test_classes_co_occur_only_when_more_often_than_chance() -> None:
    together = [("Cardiomegaly", "Pulmonary Edema or Congestion")] * MIN_CO_OCCURRENCE
    rare = [("Hiatal Hernia", "Nodule or Mass")] * (MIN_CO_OCCURRENCE - 1)
    others = [("Opacity", "Scarring"), ("Opacity", "Atelectasis"), ("Opacity", "Hypoinflation")] * MIN_CO_OCCURRENCE
    apart = [("Scarring", "Atelectasis"), ("Scarring", "Hypoinflation")] * MIN_CO_OCCURRENCE
    graph = findings_graph(labelled(*together, *rare, *others, *apart), OPENI_LABELS)
    found = relations(graph)
    assert found["class:Cardiomegaly", "co_occurs_with", "class:Pulmonary Edema or Congestion"] == MIN_CO_OCCURRENCE
    assert not any("Hiatal Hernia" in head or "Hiatal Hernia" in tail for head, _, tail in found)
    # In 5 of 34 cases each; 15 · 15 / 34 = 6.6 and 10 · 15 / 34 = 4.4 expected by chance.
    assert ("class:Opacity", "co_occurs_with", "class:Scarring") not in found
    assert found["class:Atelectasis", "co_occurs_with", "class:Opacity"] == MIN_CO_OCCURRENCE


def test_films_of_one_label_are_no_evidence_of_association() -> None:
    pairs = [("Opacity", "Scarring"), ("Atelectasis", "Scarring"), ("Atelectasis", "Opacity")] * 10
    assert findings_graph(labelled(*pairs), OPENI_LABELS).triples == ()
    assert findings_graph(labelled(*pairs, *[("Normal",)] * 500), OPENI_LABELS).triples == ()


def test_labels_without_codes_give_classes_and_co_occurrence_alone() -> None:
    pairs = [("Cardiomegaly", "Effusion")] * 8 + [("Mass", "Nodule")] * 8
    graph = findings_graph(labelled(*pairs), NIH_LABELS)
    assert {node.kind for node in graph.nodes} == {"class"}
    assert relations(graph) == {
        ("class:Cardiomegaly", "co_occurs_with", "class:Effusion"): 8,
        ("class:Mass", "co_occurs_with", "class:Nodule"): 8,
    }


def test_json_holds_the_whole_graph() -> None:
    graph = findings_graph(cases_of(["Cardiomegaly"], CODES), OPENI_LABELS)
    read = json.loads(json.dumps(graph.as_json()))
    assert [node["id"] for node in read["nodes"]] == [str(node) for node in graph.nodes]
    assert len({node["id"] for node in read["nodes"]}) == len(graph.nodes)
    assert {(one["head"], one["relation"], one["tail"]): one["count"] for one in read["triples"]} == relations(graph)
    assert {one[end] for one in read["triples"] for end in ("head", "tail")} <= {node["id"] for node in read["nodes"]}


@settings(max_examples=40, deadline=None)
@given(data=st.data(), coded=st.lists(st.lists(st.sampled_from(CODES), max_size=4), max_size=12))
def test_order_of_cases_and_codes_does_not_matter(data: st.DataObject, coded: list[list[str]]) -> None:
    shuffled = [data.draw(st.permutations(codes)) for codes in data.draw(st.permutations(coded))]
    assert findings_graph(cases_of(*coded), OPENI_LABELS) == findings_graph(cases_of(*shuffled), OPENI_LABELS)
