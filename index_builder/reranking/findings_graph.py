"""The findings graph: classes, findings, sites, sides and severities, tied by what coders wrote of training cases."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from index_builder.cases.case import Case
from index_builder.cases.labels import MeshCode, openi_labels, parse_mesh

NodeKind = Literal["class", "finding", "site", "side", "severity"]
Relation = Literal["is_a", "located_at", "on_side", "of_severity", "co_occurs_with"]

#: In the order nodes are listed.
NODE_KINDS: tuple[NodeKind, ...] = ("class", "finding", "site", "side", "severity")
#: In the order triples are listed.
RELATIONS: tuple[Relation, ...] = ("is_a", "located_at", "on_side", "of_severity", "co_occurs_with")

#: Fewer common cases than this are no evidence that two classes go together.
MIN_CO_OCCURRENCE = 5


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """What triples tie. A class and a finding may share a name ("Cardiomegaly"), so the kind is part of identity.

    Attributes:
        kind: One of `NODE_KINDS`.
        name: Name of a class as the label set spells it; otherwise lower case, e.g. "aorta/tortuous", "lower lobe".
    """

    kind: NodeKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Triple:
    """One relation between two nodes.

    Attributes:
        head: A class for `co_occurs_with`, else a finding.
        relation: One of `RELATIONS`. `co_occurs_with` is symmetric and listed once, heads before tails by name.
        tail: A class for `is_a` and `co_occurs_with`, else a site, side or severity.
        count: Cases in which it holds, at least 1.
    """

    head: Node
    relation: Relation
    tail: Node
    count: int


@dataclass(frozen=True, slots=True)
class FindingsGraph:
    """Nodes and triples in one order for one set of cases, whatever order those came in.

    Attributes:
        nodes: Every class of the label set, and every other node that a triple names; by kind, then name.
        node_counts: Cases in which each node occurs; 0 for a class never seen.
        triples: By relation, then head, then tail.
        cases: Number of cases the graph was counted on.
    """

    nodes: tuple[Node, ...]
    node_counts: tuple[int, ...]
    triples: tuple[Triple, ...]
    cases: int

    def as_json(self) -> dict[str, Any]:
        """Plain lists and dicts for a page that draws the graph; triples name nodes by `id`."""
        return {
            "cases": self.cases,
            "nodes": [
                {"id": str(node), "kind": node.kind, "name": node.name, "count": count}
                for node, count in zip(self.nodes, self.node_counts, strict=True)
            ],
            "triples": [
                {"head": str(one.head), "relation": one.relation, "tail": str(one.tail), "count": one.count}
                for one in self.triples
            ],
        }


def findings_graph(cases: Iterable[Case], label_names: Sequence[str]) -> FindingsGraph:
    """Count the graph of coded findings.

    From each code: finding is_a class (`openi_labels` of that code alone, as far as in `label_names`), located_at
    site, on_side laterality, of_severity degree. From each case's labels: class co_occurs_with class where both
    stand in at least `MIN_CO_OCCURRENCE` cases and more often than independence predicts, i.e. where pointwise
    mutual information log(n_ab · n / (n_a · n_b)) is above 0; n counts labelled cases of two or more labels, because
    films with a single label (most of all normal ones) would make every pair of abnormalities look associated.
    Cases without codes yield classes and co-occurrence alone.

    Args:
        cases: Training cases only: the vectors trained on the graph rerank the others.
        label_names: All classes, a node each.
    """
    nodes: Counter[Node] = Counter()
    triples: Counter[tuple[Node, Relation, Node]] = Counter()
    singles: Counter[Node] = Counter()
    pairs: Counter[tuple[Node, Node]] = Counter()
    total = multiple = 0
    known = frozenset(label_names)
    for case in cases:
        total += 1
        classes = sorted(Node("class", label) for label in known.intersection(case.labels))
        if len(classes) > 1:
            multiple += 1
            singles.update(classes)
            pairs.update(itertools.combinations(classes, 2))
        stated = {triple for code in case.codes for triple in _code_triples(code, known)}
        triples.update(stated)
        findings = (_finding(parse_mesh(code))[0] for code in case.codes)
        nodes.update({*classes, *findings, *(tail for _, _, tail in stated)})
    for (one, other), together in pairs.items():
        if together >= MIN_CO_OCCURRENCE and math.log(together * multiple / (singles[one] * singles[other])) > 0:
            triples[one, "co_occurs_with", other] = together
    named = {node for head, _, tail in triples for node in (head, tail)}
    listed = sorted({*named, *(Node("class", label) for label in known)}, key=_node_order)
    return FindingsGraph(
        nodes=tuple(listed),
        node_counts=tuple(nodes[node] for node in listed),
        triples=tuple(Triple(*triple, triples[triple]) for triple in sorted(triples, key=_triple_order)),
        cases=total,
    )


def _code_triples(code: str, known: frozenset[str]) -> set[tuple[Node, Relation, Node]]:
    mesh = parse_mesh(code)
    finding, sites = _finding(mesh)
    found: set[tuple[Node, Relation, Node]] = {
        (finding, "is_a", Node("class", label)) for label in known.intersection(openi_labels((code,)))
    }
    found.update((finding, "located_at", Node("site", site)) for site in sites)
    if mesh.side is not None:
        found.add((finding, "on_side", Node("side", mesh.side)))
    if mesh.severity is not None:
        found.add((finding, "of_severity", Node("severity", mesh.severity)))
    return found


def _finding(mesh: MeshCode) -> tuple[Node, tuple[str, ...]]:
    """The finding of a code, and its sites.

    A finding is the heading. A heading that is itself a place ("Lung/hypoinflation", "Aorta/tortuous") says nothing
    without its state: there the finding is heading and states, and the place one of its sites. Else hypo- and
    hyperinflation, both "Lung", would be one finding.
    """
    heading = mesh.heading.lower()
    place = parse_mesh(f"_/{heading}").sites
    if not place:
        return Node("finding", heading), mesh.sites
    stateless = {*mesh.sites, mesh.severity, "left", "right", "bilateral"}
    states = sorted({qualifier.lower() for qualifier in mesh.qualifiers} - stateless)
    return Node("finding", "/".join((heading, *states))), (*place, *mesh.sites)


def _node_order(node: Node) -> tuple[int, str]:
    return NODE_KINDS.index(node.kind), node.name


def _triple_order(triple: tuple[Node, Relation, Node]) -> tuple[int, tuple[int, str], tuple[int, str]]:
    head, relation, tail = triple
    return RELATIONS.index(relation), _node_order(head), _node_order(tail)
