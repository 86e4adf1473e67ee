"""Rules of access, the audit log, and that a file is made for exporters alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from explorer.app import audit
from explorer.app.access import AccessRules, Visitor, check_may_export
from explorer.app.shared.downloads import _made
from index_builder.errors import AccessError

_RULES = AccessRules.of_secrets(
    {
        "audit_log": "audit.jsonl",
        "viewer": {"domains": ["Clinic.example"], "emails": ["guest@elsewhere.example"]},
        "exporter": {"groups": ["teachers"], "emails": ["head@clinic.example"]},
    }
)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"email": "a@clinic.example", "email_verified": True}, "viewer"),
        ({"email": "A@CLINIC.EXAMPLE", "email_verified": "true"}, "viewer"),
        ({"email": "head@clinic.example", "email_verified": True}, "exporter"),
        ({"email": "guest@elsewhere.example", "email_verified": True}, "viewer"),
        ({"email": "a@clinic.example", "email_verified": False}, None),
        ({"email": "a@clinic.example"}, None),
        ({"email": "a@sub.clinic.example", "email_verified": True}, None),
        ({"email": "a@evilclinic.example", "email_verified": True}, None),
        ({"email": "clinic.example", "email_verified": True}, None),
        ({"sub": "x", "groups": ["teachers", "others"]}, "exporter"),
        ({"sub": "x", "groups": "teachers"}, "exporter"),
        ({"sub": "x", "groups": [["teachers"]]}, None),
        ({"sub": "x", "groups": {"teachers": 1}}, None),
        ({}, None),
    ],
)
def test_roles(claims: dict[str, Any], role: str | None) -> None:
    assert _RULES.role_of(claims) == role


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (None, "nobody is let in"),
        ({}, "access.audit_log"),
        ({"audit_log": "a", "viewers": {}}, "access.viewers"),
        ({"audit_log": "a", "viewer": {"email": ["a@b"]}}, "access.viewer.email"),
        ({"audit_log": "a", "viewer": {"emails": 5}}, "access.viewer.emails"),
    ],
)
def test_a_wrong_section_is_named_and_lets_in_nobody(section: Any, message: str) -> None:
    with pytest.raises(AccessError, match=message):
        AccessRules.of_secrets(section)


def test_files_are_made_for_exporters_while_their_sign_in_lasts() -> None:
    later = time.time() + 60
    check_may_export(None)
    check_may_export(Visitor("a", "exporter", later))
    for visitor in (
        Visitor("a", "viewer", later),
        Visitor("a", None, later),
        Visitor("a", "exporter", time.time() - 1),
    ):
        made: list[int] = []
        with pytest.raises(AccessError):
            _made(visitor, lambda made=made: made.append(1) or b"", "cases.csv")  # type: ignore[misc, func-returns-value]
        assert not made
    assert Visitor.of_claims({"sub": "s", "groups": "teachers"}, _RULES).expired  # a token that names no end


def test_audit_lines_are_whole_and_what_cannot_be_written_stops_the_page(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        audit.record(path, "case", "a\nb", "viewer", casebook="c", case=f"case-{number}")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["case"] for line in lines] == ["case-0", "case-1", "case-2"]
    assert lines[0]["who"] == "a\nb"
    assert lines[0]["time"].endswith("+00:00")
    with pytest.raises(AccessError, match="cannot be written"):
        audit.record(tmp_path / "nowhere" / "audit.jsonl", "case", "a", "viewer")
