"""The Explain page as a visitor meets it."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from waiting import answered, case_ids, expect_fits, expect_no_fault, expect_soon, settle, visit

from explorer import Casebook, Query
from explorer.explanation.explain import Answer, Question, explain, findings_of, open_study
from explorer.explanation.overlay import blend
from explorer.prediction.words import shown_words

pytestmark = pytest.mark.browser

_LAID = re.compile("with the map laid over it$")


def test_from_a_result_to_its_reasons(app, page: Page) -> None:
    page.goto(app.url)
    text = "enlarged heart with pleural effusion"
    page.get_by_label("Report or description").fill(text)
    page.get_by_role("button", name="Search", exact=True).click()
    case_id = case_ids(page)[0]
    page.locator("a[href*='with=']", has_text="Explain").first.click()
    _explained(page)
    expect(page.get_by_role("heading", name="Explain your query")).to_be_visible()
    expect(page.get_by_text(f"Why similar to case {case_id}")).to_be_visible()
    words = page.get_by_label("Words with their weight")
    expect(words.get_by_text("enlarged", exact=False).first).to_be_visible()
    expect(words.locator(".cxr-tinted")).to_have_count(2)
    page.get_by_role("link", name="Back to the search").click()
    settle(page)
    page.get_by_text("What cases like these carry").click()
    settle(page)
    page.get_by_role("link", name=re.compile("^Why .*\\?$")).first.click()
    expect(page.get_by_text(re.compile("^Why .+ · log-odds of the classifier"))).to_be_visible()


def test_a_case_by_several_methods_with_opacity_and_download(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    case_id = next(one for one in casebook.case_ids if casebook.case(one).image)
    page.goto(f"{app.url}/explain?case={case_id}")
    _explained(page)
    laid = page.get_by_role("img", name=_LAID)
    _choose(page, "Film")
    expect(page.get_by_label("Words with their weight")).to_have_count(0)
    settle(page)
    asked = re.search(r"Why (.+?) ·", page.get_by_text(re.compile("^Why .+ · ")).inner_text())
    assert asked is not None
    # The list says what the film alone gives, about the finding that was asked before.
    film_alone = {
        one.label: one.opinion for one in findings_of(casebook, open_study(casebook, Query(case_id=case_id)), "image")
    }
    shown = f"{asked[1]} ({shown_words(film_alone[asked[1]])})"
    expect(page.get_by_role("combobox", name="Finding")).to_have_value(shown)
    _choose(page, "Grad-CAM")
    expect(page.get_by_text("What Grad-CAM shows")).to_be_visible()
    settle(page)
    expect(page.get_by_role("combobox", name="Stage")).to_be_visible()

    # What the browser draws is what Python draws.
    finding = re.search(r"Why (.+?) ·", page.get_by_text(re.compile("^Why .+ · ")).inner_text())
    assert finding is not None
    answer = _answer(casebook, case_id, finding[1])
    _assert_drawn(page, laid, _blended(answer, 0.8, 0.15))
    opacity = page.get_by_label("Opacity")
    opacity.focus()
    for _ in range(39):
        page.keyboard.press("ArrowLeft")
    answered(page, lambda: page.keyboard.press("ArrowLeft"))
    expect(page.get_by_text("40 %", exact=True)).to_be_visible()
    _assert_drawn(page, laid, _blended(answer, 0.4, 0.15))

    with page.expect_download() as download:
        page.get_by_role("button", name="Picture with legend").click()
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    content = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert (content["method"], content["studies"][0]["case_id"]) == ("grad-cam", case_id)


def test_integrated_gradients_can_be_cancelled(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    case_id = [one for one in casebook.case_ids if casebook.case(one).image][1]
    page.goto(f"{app.url}/explain?case={case_id}")
    _explained(page)
    _choose(page, "Integrated Gradients")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Integrated Gradients was cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Compute it")).to_be_visible()
    # Another method answers at once.
    _choose(page, "Grad-CAM")
    expect(page.get_by_text("What Grad-CAM shows")).to_be_visible()
    _choose(page, "Integrated Gradients")
    page.get_by_role("button", name="Compute it").click()
    expect(page.get_by_text("What Integrated Gradients shows")).to_be_visible()
    expect_no_fault(app.log)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark")])
def test_the_page_fits(app, browser: Browser, width: int, scheme: str) -> None:
    with visit(browser, viewport={"width": width, "height": 860}, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        ids = Casebook.open(app.casebook).case_ids
        page.goto(f"{app.url}/explain?case={ids[0]}&what=similarity&with={ids[3]}")
        _explained(page)
        expect(page.get_by_text(f"Why similar to case {ids[3]}")).to_be_visible()
        expect(page.get_by_role("img", name=_LAID)).to_have_count(2)
        expect(page.get_by_text("not for diagnosis").last).to_be_visible()
        settle(page)
        expect_fits(page)


def _explained(page: Page) -> None:
    """Wait for an answer."""
    expect(page.get_by_text(re.compile("^What .+ shows$"))).to_be_visible()


def _choose(page: Page, name: str) -> None:
    radio = page.get_by_role("radio", name=name, exact=True)
    radio.click()
    expect(radio).to_be_checked()


def _answer(casebook: Casebook, case_id: str, finding: str) -> Answer:
    study = open_study(casebook, Query(case_id=case_id))
    return explain(casebook, study, Question(finding, part="image"), "grad-cam")


def _blended(answer: Answer, opacity: float, threshold: float) -> NDArray[np.uint8]:
    (side,) = answer.sides
    assert answer.scale is not None
    assert side.film_map is not None
    assert side.study.shown is not None
    shares = answer.scale.shares(side.film_map.on_film(*side.study.shown.shape))
    return blend(side.study.shown, shares, signed=answer.signed, opacity=opacity, threshold=threshold)


def _assert_drawn(page: Page, canvas: Locator, expected: NDArray[np.uint8]) -> None:
    """A canvas shows, before long, what Python draws; rounding of the map to 8 bits aside."""

    def differences() -> tuple[float, float]:
        drawn = _pixels(canvas)
        if drawn.shape != expected.shape:
            return np.inf, np.inf
        difference = np.abs(drawn.astype(int) - expected)
        return float(difference.mean()), float(np.percentile(difference, 99.9))

    expect_soon(page, differences, lambda found: found[0] < 0.2 and found[1] <= 6, "mean and largest difference")


def _pixels(canvas: Locator) -> NDArray[np.uint8]:
    """[rows, columns, 3] of a canvas as drawn."""
    png = canvas.evaluate("canvas => canvas.toDataURL('image/png')").partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return np.asarray(image.convert("RGB"))
