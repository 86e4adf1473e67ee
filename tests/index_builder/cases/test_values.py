"""Ages and views as tables have them."""

import pytest

from index_builder.datasets.reading.values import counted, parse_age, parse_view


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *(("50+", 50), ("90+", 90), ("90 +", 90), (">89", 89), ("> 89", 89), (">=90", 90), ("≥90", 90), ("~65", 65)),
        *(("65,5", 65.5), ("65.5", 65.5), ("045Y", 45), ("45y", 45), ("45yrs", 45), ("45 years", 45), ("6M", 0.5)),
        *(("6 months", 0.5), ("003W", 0.06), ("010D", 0.03), ("1", 1), ("", None), ("unknown", None)),
    ],
)
def test_ages(text: str, years: float | None) -> None:
    assert parse_age(text) == years


@pytest.mark.parametrize("text", ["121", ">120Y1", "fifty", "50-59", "-5", "+50", "1,5,5", "12/1960", "50++"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="age"):
        parse_age(text)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        *(
            (text, "PA")
            for text in ("PA", "pa", "PA Erect", "POSTERO-ANTERIOR", "Postero anterior", "P.A.", "Chest PA")
        ),
        *((text, "PA") for text in ("posterior-anterior", "PA view", "PA_upright")),
        *((text, "AP") for text in ("AP", "AP SUPINE", "AP_horizontal", "AP Portable", "AP semi-erect", "APS")),
        *((text, "AP") for text in ("ANTERO-POSTERIOR", "AP LLD", "portable AP", "AP, sitting")),
        *((text, "LATERAL") for text in ("L", "LL", "RL", "Lateral", "Lateral Left", "LATERAL (LEFT)", "Left lateral")),
        *((text, "LATERAL") for text in ("LAT", "XTABLE LATERAL", "lateral view", "LLAT")),
        *((text, None) for text in ("", "unknown", "N/A", "Frontal")),
    ],
)
def test_views(text: str, view: str | None) -> None:
    assert parse_view(text) == view


@pytest.mark.parametrize("text", ["COSTAL", "EXCLUDE", "LAO", "oblique", "PA and lateral", "sideways", "left", "Axial"])
def test_what_is_no_view_of_the_chest(text: str) -> None:
    with pytest.raises(ValueError, match="not a view of the chest"):
        parse_view(text)


def test_numbers_with_their_nouns() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 112_060)] == ["0 rows", "1 row", "2 rows", "112,060 rows"]
