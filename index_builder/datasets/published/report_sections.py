"""A radiology report in one text to its sections, by the headings in capitals that radiologists write."""

from __future__ import annotations

import re

#: Headings by the section they begin. A heading that is not here ends a section and begins none.
_SECTION_OF = {
    "INDICATION": "indication",
    "INDICATIONS": "indication",
    "CLINICAL INDICATION": "indication",
    "CLINICAL INFORMATION": "indication",
    "CLINICAL HISTORY": "indication",
    "HISTORY": "indication",
    "REASON FOR EXAM": "indication",
    "REASON FOR EXAMINATION": "indication",
    "REASON FOR THIS EXAMINATION": "indication",
    "COMPARISON": "comparison",
    "COMPARISONS": "comparison",
    "FINDINGS": "findings",
    "FINDING": "findings",
    "FINDINGS AND IMPRESSION": "findings",
    "FINDINGS/IMPRESSION": "findings",
    "IMPRESSION": "impression",
    "IMPRESSIONS": "impression",
    "CONCLUSION": "impression",
    "CONCLUSIONS": "impression",
}

#: Above every report of MIMIC-CXR.
_TITLE = re.compile(r"\A\s*FINAL REPORT\s*\n")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z/&() \t-]{2,60}):", re.MULTILINE)


def report_sections(text: str) -> dict[str, str]:
    """Sections of a report by lower-case name, white space tidied; the whole text as findings where none is named.

    A report that has headings but neither findings nor impression says what is seen in a paragraph without a heading,
    most often the last one; that becomes the findings.
    """
    text = _TITLE.sub("", text, count=1)
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    sections: dict[str, str] = {}
    for heading, end in zip(headings, ends, strict=False):
        name = _SECTION_OF.get(" ".join(heading[1].split()))
        content = text[heading.end() : end]
        if name and (tidy := _tidy(content)):
            sections[name] = f"{sections[name]} {tidy}" if name in sections else tidy
    if "findings" not in sections and "impression" not in sections:
        return _with_last_paragraph(text, headings, sections)
    return sections


def _with_last_paragraph(text: str, headings: list[re.Match[str]], sections: dict[str, str]) -> dict[str, str]:
    if not headings:
        return {"findings": tidy} if (tidy := _tidy(text)) else {}
    *before, last = re.split(r"\n[ \t]*\n", text[headings[-1].end() :].rstrip())
    if not any(part.strip() for part in before) or not _tidy(last):
        return sections
    name = _SECTION_OF.get(" ".join(headings[-1][1].split()))
    shortened = {name: _tidy("\n".join(before))} if name else {}
    return sections | shortened | {"findings": _tidy(last)}


def _tidy(text: str) -> str:
    return " ".join(text.split())
