from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.cases.labels import (
    DUST_STAGES,
    NIH_LABELS,
    OPENI_LABELS,
    OPENI_MESH_CLASSES,
    MeshCode,
    openi_labels,
    parse_mesh,
)
from index_builder.datasets.published.openi import OpenI

UNCODED = {"No Indexing", "Technical Quality of Image Unsatisfactory"}


@pytest.fixture(scope="module")
def cases():
    return OpenI().cases()


def test_label_sets_keep_their_published_form():
    assert len(NIH_LABELS) == 14
    assert "Pleural_Thickening" in NIH_LABELS
    assert DUST_STAGES == ("Stage 0", "Stage 1", "Stage 2", "Stage 3")
    assert len(OPENI_LABELS) == len(set(OPENI_LABELS)) == 22
    assert OPENI_LABELS[0] == "Normal"


def test_every_openi_class_has_at_least_40_reports(cases):
    counts = Counter(label for case in cases for label in case.labels)
    assert set(counts) == set(OPENI_LABELS)
    assert min(counts.values()) >= 40
    assert counts["Normal"] == 1391


def test_classes_cover_nearly_all_coded_reports(cases):
    coded = [case for case in cases if not set(case.codes) <= UNCODED]
    assert len(coded) > 3800
    without = [case.case_id for case in coded if not case.labels]
    assert len(without) / len(coded) < 0.01


def test_normal_excludes_every_finding(cases):
    assert all(case.labels == ("Normal",) for case in cases if "Normal" in case.labels)


def test_every_rule_meets_a_published_code(cases):
    published: set[str] = set()
    for case in cases:
        for code in case.codes:
            mesh = parse_mesh(code)
            published.add(mesh.heading.lower())
            published.update(f"{mesh.heading}/{qualifier}".lower() for qualifier in mesh.qualifiers)
    rules = {rule.lower() for rules in OPENI_MESH_CLASSES.values() for rule in rules}
    assert rules - published == set()


@pytest.mark.parametrize(
    ("codes", "labels"),
    [
        (["normal"], ("Normal",)),
        (["Opacity/lung/lower lobe/left/mild"], ("Opacity",)),
        (["Opacity/lung/upper lobe/right/round/small"], ("Nodule or Mass", "Opacity")),
        (["Lung/hypoinflation/mild"], ("Hypoinflation",)),
        (["Lung/hyperdistention", "Diaphragm/bilateral/flattened"], ("Hyperinflation or Emphysema",)),
        (["Calcinosis/aorta"], ("Aortic Disease",)),
        (["Calcinosis/aorta, thoracic"], ("Aortic Disease",)),
        (["Calcinosis/lung/hilum/lymph nodes"], ("Granuloma or Calcification",)),
        (["Aorta, Thoracic/tortuous"], ("Aortic Disease",)),
        (["Aorta/obscured"], ()),
        (["Thoracic vertebrae/degenerative"], ("Degenerative Bone Disease",)),
        (["Lung/obscured"], ()),
        (["No Indexing"], ()),
        (["Technical Quality of Image Unsatisfactory "], ()),
        (["Pneumothorax/apex/left/small"], ()),
        ([], ()),
    ],
)
def test_codes_to_classes(codes, labels):
    assert openi_labels(codes) == labels


def test_parse_mesh_splits_and_tidies():
    assert parse_mesh("Opacity/lung/lower lobe/left/mild") == MeshCode(
        "Opacity", ("lung", "lower lobe", "left", "mild")
    )
    assert parse_mesh("Subcutaneous  Emphysema/right").heading == "Subcutaneous Emphysema"
    assert parse_mesh("normal") == MeshCode("normal")
    assert parse_mesh("Nodule//left/") == MeshCode("Nodule", ("left",))
    with pytest.raises(ValueError, match="no heading"):
        parse_mesh(" /left")


@pytest.mark.parametrize(
    ("code", "side", "severity", "sites"),
    [
        ("Opacity/lung/lower lobe/left/mild", "left", "mild", ("lung", "lower lobe")),
        ("Density/lung/right/left", "bilateral", None, ("lung",)),
        ("Markings/lung/bilateral/interstitial", "bilateral", None, ("lung", "interstitial")),
        ("Cardiomegaly/borderline", None, "borderline", ()),
        ("Deformity/Thoracic Vertebrae/mild/moderate", None, "moderate", ("thoracic vertebrae",)),
        ("Calcinosis/aorta, thoracic/right", "right", None, ("aorta, thoracic",)),
        ("normal", None, None, ()),
    ],
)
def test_side_severity_and_sites(code, side, severity, sites):
    mesh = parse_mesh(code)
    assert (mesh.side, mesh.severity, mesh.sites) == (side, severity, sites)


def test_every_published_qualifier_is_understood(cases):
    """A site list that lost a name would drop that place from the knowledge graph without a word."""
    others = (
        "mild moderate severe borderline left right bilateral degenerative multiple hypoinflation tortuous "
        "hyperdistention small prominent round patchy scattered enlarged chronic elevated blunted streaky posterior "
        "focal large anterior flattened diffuse healed obscured irregular reticular abnormal acute multilobar"
    )
    known = {*others.split(), "breast implants"}
    unknown = {
        qualifier
        for case in cases
        for code in case.codes
        for mesh in [parse_mesh(code)]
        for qualifier in mesh.qualifiers
        if qualifier.lower() not in known and qualifier.lower() not in mesh.sites
    }
    assert unknown == set()


@given(st.lists(st.sampled_from([rule for rules in OPENI_MESH_CLASSES.values() for rule in rules]), max_size=8))
def test_labels_are_sorted_unique_and_independent_of_order(codes):
    labels = openi_labels(codes)
    assert labels == tuple(sorted(set(labels))) == openi_labels(list(reversed(codes)))
    assert set(labels) <= set(OPENI_LABELS)
    assert bool(labels) == bool(codes)


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_refused(text):
    try:
        mesh = parse_mesh(text)
    except ValueError:
        return
    assert mesh.heading
    assert openi_labels([text]) == tuple(sorted(openi_labels([text.upper()]))) or not text.isascii()
