"""What the system learnt findings on, as a visitor of the About page sees it: wide and narrow, light and dark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from live_app import serving
from playwright.sync_api import Browser, expect
from test_accessibility import barriers
from waiting import settle, visit

from explorer import Casebook
from index_builder.calibration.learnt import Learnt, LearntLabel, Measured, Taught

pytestmark = pytest.mark.browser

_LOOKS = (("dark", 1440), ("light", 390), ("light", 1440), ("dark", 390))


@pytest.fixture(scope="module")
def taught_casebook(tmp_path_factory: pytest.TempPathFactory, small_casebook: Path) -> Path:
    """`small_casebook`, whose system says of each finding what it learnt it on, under names as long as there are."""
    folder = shutil.copytree(small_casebook, tmp_path_factory.mktemp("taught") / "taught")
    real, drawn = "COVID-19 Image Repository (Hannover Medical School)", "Phantom films for Open-i reports"
    labels = (*Casebook.open(folder).label_names, "Normal")
    found = LearntLabel(
        (Taught(real, 1_234, 12_345), Taught(drawn, 12, 2_658)),
        (Measured(real, "image", 58, 372, 0.81, (0.75, 0.86), 0.4), Measured(drawn, "image", 7, 400)),
    )
    Learnt(dict.fromkeys(labels, found), (drawn,)).save(folder / "system")
    return folder


@pytest.mark.timeout(300)
def test_the_table_fits_every_screen_and_has_no_barrier(
    tmp_path: Path, browser: Browser, taught_casebook: Path
) -> None:
    with serving([taught_casebook], tmp_path / "app.log") as url, visit(browser) as visitor:
        page = visitor.new_page()
        page.goto(f"{url}/about")
        page.locator("footer").wait_for()
        page.get_by_text("Known to the system, but no case here has it (1)").click()
        expect(page.locator("table.cxr-learnt")).to_have_count(2)
        found = barriers(page, _LOOKS)
        for width in (1440, 768, 390):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            for table in page.locator("table.cxr-learnt").all():
                box = table.bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not found, "\n".join(found)
