"""The terms file: what is checked, and that a synonym needs no code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index_builder.errors import InstallationError
from index_builder.facts.parse import Parser, read_facts
from index_builder.facts.terms import TERMS_FILE, read_terms, report_terms
from index_builder.resources import resource


@pytest.fixture
def content() -> dict[str, Any]:
    return json.loads(resource("assets", TERMS_FILE).read_text("utf-8"))


def saved(content: object, folder: Path) -> Path:
    path = folder / TERMS_FILE
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_synonym_needs_no_code(content: dict[str, Any], tmp_path: Path) -> None:
    content["findings"]["nodule"]["also"].append("grain of rice")
    content["sites"]["base"]["es"].append("bajos")
    parser = Parser(read_terms(saved(content, tmp_path)))
    (fact,) = read_facts("Grains of rice, left bajos.", parser)
    assert (fact.finding, fact.side, fact.sites[0]) == ("nodule", "left", "base")
    assert not read_facts("Grains of rice, left.")


def test_a_new_finding_needs_no_code(content: dict[str, Any], tmp_path: Path) -> None:
    content["findings"]["halo sign"] = {"also": ["halo"], "site": "lung"}
    content["is_a"].append(["halo sign", "opacity"])
    terms = read_terms(saved(content, tmp_path))
    assert read_facts("No halo sign.", Parser(terms))[0].status == "absent"
    assert terms.wider_findings["halo sign"] == ("opacity",)


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda told: told["findings"]["nodule"].update(synonym=["x"]), "findings: nodule: 'synonym' is not known"),
    (lambda told: told["findings"]["nodule"].update(also="x"), "findings: nodule: also: a list"),
    (lambda told: told["findings"]["nodule"]["also"].append(""), "findings: nodule: also: '' is no word"),
    (lambda told: told["findings"]["nodule"]["also"].extend(["spot", "spot"]), "findings: nodule: 'spot' stands there"),
    (lambda told: told["findings"]["nodule"]["also"].append("mass"), "'mass' already means 'nodule'|'mass' already"),
    (lambda told: told["findings"]["nodule"].update(site="knee"), "findings: nodule: site: 'knee' is not defined"),
    (lambda told: told["sites"]["lingula"].update(side="up"), "sites: lingula: side: 'up' is no side"),
    (lambda told: told["is_a"].append(["nodule", "knee"]), "is_a: 'knee' is not defined"),
    (lambda told: told["is_a"].append(["nodule"]), "is_a: .* is no pair"),
    (lambda told: told["is_a"].append(["opacity", "pneumonia"]), "is_a: .* would contain itself"),
    (lambda told: told["near"].append(["base", "base"]), "near: .* is no pair of two different names"),
    (lambda told: told["there"].append(["nodule", "knee", "mass"]), "there: 'knee' is not defined"),
    (lambda told: told["together"].append(["nodule", "mass"]), "together: .* is no triple"),
    (lambda told: told["organs"]["heart"]["normal"].append("knee"), "organs: heart: 'knee' is not defined"),
    (lambda told: told["cues"].pop("deny"), "cues: 'deny' is missing"),
    (lambda told: told.pop("sides"), "the file: 'sides' is missing"),
    (lambda told: told["short"].update(xy=3), "short: xy: 3 is no word"),
    (lambda told: told.update(findings=[]), "findings: an object"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_entry_is_named(
    content: dict[str, Any], tmp_path: Path, spoil: Callable[[dict[str, Any]], object], message: str
) -> None:
    spoil(content)
    with pytest.raises(InstallationError, match=message):
        read_terms(saved(content, tmp_path))


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / TERMS_FILE
    path.write_text("{", "utf-8")
    with pytest.raises(InstallationError, match=TERMS_FILE):
        read_terms(path)


def test_every_heading_means_one_finding() -> None:
    """Two findings with the same code could not be told apart when they are evaluated."""
    codes = [code.lower() for term in report_terms().findings.values() for code in term.mesh]
    assert not {code for code in codes if codes.count(code) > 1}
