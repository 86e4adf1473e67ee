"""Sections of reports written in one text."""

import pytest

from index_builder.datasets.published.report_sections import report_sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", {}),
        ("Lungs  are\nclear.", {"findings": "Lungs are clear."}),
        ("                 FINAL REPORT\n Lungs are clear.", {"findings": "Lungs are clear."}),
        (
            " EXAMINATION: CHEST\n\n HISTORY: Cough.\n\n FINDINGS: Clear.\n\n IMPRESSION: Normal: no change.\n",
            {"indication": "Cough.", "findings": "Clear.", "impression": "Normal: no change."},
        ),
        ("REASON FOR EXAMINATION: Pain.\n\nCONCLUSION: Normal.", {"indication": "Pain.", "impression": "Normal."}),
        ("FINDINGS: One.\nFINDINGS: Two.", {"findings": "One. Two."}),
        ("FINDINGS:\n\nIMPRESSION: Normal.", {"impression": "Normal."}),
        # What is seen stands below the last heading.
        (
            "INDICATION: Fever.\n\nCOMPARISON: ___.\n\nPA and lateral views. Lungs are clear.",
            {"indication": "Fever.", "comparison": "___.", "findings": "PA and lateral views. Lungs are clear."},
        ),
        ("INDICATION: Fever.", {"indication": "Fever."}),
        ("NOTIFICATION: Dr. ___ at 10:30.\n\nFINDINGS: Clear at 5:00.", {"findings": "Clear at 5:00."}),
    ],
)
def test_sections(text: str, sections: dict[str, str]) -> None:
    assert report_sections(text) == sections
