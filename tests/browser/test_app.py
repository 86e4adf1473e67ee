"""The app as a visitor meets it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from waiting import (
    case_ids,
    expect_evaluated,
    expect_fits,
    expect_no_fault,
    expect_points,
    expect_soon,
    settle,
    still_box,
    visit,
)

from explorer import Casebook
from explorer.search.search import search_cases

pytestmark = pytest.mark.browser

_PATIENT = "Zzyzx^Quentin"
_PATIENT_ID = "PID-998877"


def test_dicom_to_neighbours_to_case_to_map(app, page: Page, tmp_path: Path) -> None:
    page.goto(app.url)
    page.locator("input[type=file]").set_input_files(
        {"name": "Zzyzx-Quentin.dcm", "mimeType": "application/dicom", "buffer": _dicom(app.casebook)}
    )
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_text("5 nearest cases for your film")).to_be_visible()
    expect(page.get_by_text("A program's predictions, not a diagnosis")).to_be_visible()
    expect(page.get_by_alt_text("The film you search with, as the app sees it")).to_be_visible()
    _assert_anonymous(page)

    case_id = case_ids(page)[0]
    page.get_by_role("link", name="Open case").first.click()
    expect(page.get_by_role("heading", name=case_id)).to_be_visible()
    expect(page).to_have_url(re.compile(rf"/case\?.*case={case_id}"))
    viewer = page.get_by_role("img", name=re.compile(f"Chest film of case {case_id}")).first
    expect(viewer).to_be_visible()
    expect(page.get_by_text("1 of 5 for your film")).to_be_visible()
    _assert_anonymous(page)

    page.get_by_role("link", name="Show on map").click()
    canvas = page.get_by_role("application", name=re.compile("^Map of"))
    expect(canvas).to_be_visible()
    expect(page.get_by_text("placed at the mean of its 10 nearest cases")).to_be_visible()
    # The case sought is chosen on the map, with its film beside it.
    expect(page.get_by_alt_text(f"Chest film of case {case_id}")).to_be_visible()
    canvas.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=case_id)).to_be_visible()

    log = app.log.read_text("utf-8")
    assert "Quentin" not in log
    assert _PATIENT_ID not in log
    expect_no_fault(app.log)


def test_map_shows_a_film_on_hover_and_opens_the_case_on_click(app, page: Page) -> None:
    page.goto(f"{app.url}/map")
    canvas = page.get_by_role("application", name=re.compile("^Map of"))
    expect(canvas).to_be_visible()
    expect_points(page)
    place = _place_of_a_point(app.casebook, page, canvas)
    canvas.hover(position={"x": place[0], "y": place[1]})
    film = page.get_by_alt_text(re.compile("^Chest film of case"))
    expect(film).to_be_visible()
    case_id = (film.get_attribute("alt") or "").removeprefix("Chest film of case ")
    assert case_id in Casebook.open(app.casebook)
    canvas.click(position={"x": place[0], "y": place[1]})
    expect(page.get_by_role("heading", name=case_id)).to_be_visible()


def test_text_search_filter_and_persistence(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    page.goto(app.url)
    _search_text(page, "heart size normal, lungs clear")
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_text(re.compile(rf"^{len(casebook)} cases searched by what their reports say"))).to_be_visible()

    page.get_by_text("Filters", exact=True).click()
    settle(page)
    page.get_by_role("combobox", name=re.compile("Has findings")).click()
    page.get_by_role("option", name="Normal", exact=True).click()
    normal = sum("Normal" in labels for labels in casebook.labels)
    expect(page.get_by_text(re.compile(rf"^{normal} of {len(casebook)} cases searched"))).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Filters (1 set)")).to_be_visible()
    for number in range(min(5, normal)):
        expect(page.get_by_role("article").nth(number)).to_contain_text("Normal")

    page.get_by_role("link", name="About").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    page.get_by_role("link", name="Search", exact=True).first.click()
    expect(page.get_by_label("Report or description")).to_have_value("heart size normal, lungs clear")
    expect(page.get_by_text(re.compile(rf"^{normal} of {len(casebook)} cases searched"))).to_be_visible()


def test_deep_link_and_a_link_to_nowhere(app, page: Page) -> None:
    casebook = Casebook.open(app.casebook)
    case_id = casebook.case_ids[7]
    page.goto(f"{app.url}/case?case={case_id}&casebook={app.casebook.name}")
    expect(page.get_by_role("heading", name=case_id)).to_be_visible()
    section = next(iter(casebook.case(case_id).sections.values()))
    expect(page.get_by_text(section[:40]).first).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(6)

    page.goto(f"{app.url}/case?case=<b>nobody</b>&casebook=elsewhere")
    expect(page.get_by_role("heading", name="This casebook is not open here")).to_be_visible()
    expect(page.get_by_text("The link names casebook “elsewhere”")).to_be_visible()
    page.goto(f"{app.url}/case?case=<b>nobody</b>")
    expect(page.get_by_role("heading", name="No such case here")).to_be_visible()
    expect(page.locator(f"a[href*='case={casebook.case_ids[0]}']", has_text="Film of")).to_be_visible()


def test_a_file_that_is_no_film_gets_a_sentence(app, page: Page) -> None:
    page.goto(app.url)
    page.locator("input[type=file]").set_input_files(
        {"name": "Quentin-report.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 not a film"}
    )
    expect(page.get_by_text("neither DICOM, PNG nor JPEG")).to_be_visible()
    # The upload field, which shows the visitor the name of the file, goes when the page is drawn anew.
    expect(page.get_by_text("Quentin")).to_have_count(0)
    expect_soon(page, lambda: "Quentin" in page.content(), False, "the name of the file in the page")
    assert "Traceback" not in page.content()
    # The page goes on working.
    _search_text(page, "pleural effusion")
    expect(page.get_by_role("article")).to_have_count(5)


def test_two_visitors_do_not_mix(app, browser: Browser) -> None:
    with visit(browser) as one, visit(browser) as other:
        _assert_own_results(app, [one.new_page(), other.new_page()])


def _assert_own_results(app, pages: list[Page]) -> None:
    """Each of two pages that search at once shows what it searched for."""
    texts = ["enlarged heart", "pneumothorax on the left"]
    for page in pages:
        page.goto(app.url)
        expect(page.get_by_role("button", name="Search")).to_be_visible()
    for page, text in zip(pages, texts, strict=True):
        page.get_by_label("Report or description").fill(text)
    for page in pages:
        page.get_by_role("button", name="Search", exact=True).click()
    for page, text, other in zip(pages, texts, reversed(texts), strict=True):
        expect(page.get_by_text(f"5 cases for “{text}”")).to_be_visible()
        settle(page)
        assert other not in page.locator("body").inner_text()
    casebook = Casebook.open(app.casebook)
    from explorer import Query

    for page, text in zip(pages, texts, strict=True):
        expected = [hit.case_id for hit in search_cases(casebook, Query(text=text), k=5).neighbours]
        assert case_ids(page) == expected


@pytest.mark.parametrize(("width", "schemes"), [(390, ("dark", "light")), (1440, ("light",))])
def test_no_page_is_wider_than_the_screen(app, browser: Browser, width: int, schemes: tuple[str, ...]) -> None:
    with visit(browser, viewport={"width": width, "height": 860}, color_scheme=schemes[0]) as visitor:
        page = visitor.new_page()
        page.goto(app.url)
        _search_text(page, "enlarged heart")
        expect(page.get_by_role("article")).to_have_count(5)
        _assert_fits(page, schemes)
        case_id = Casebook.open(app.casebook).case_ids[0]
        for address, landmark in (
            (f"case?case={case_id}", page.get_by_role("heading", name=case_id)),
            ("map", page.get_by_role("application")),
            ("about", page.get_by_role("heading", name="Limits")),
        ):
            page.goto(f"{app.url}/{address}")
            expect(landmark).to_be_visible()
            expect(page.get_by_text("not for diagnosis").last).to_be_visible()
            _assert_fits(page, schemes)


def _search_text(page: Page, text: str) -> None:
    page.get_by_label("Report or description").fill(text)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text(f"cases for “{text}”")).to_be_visible()


def _assert_anonymous(page: Page) -> None:
    settle(page)
    expect(page.get_by_text("Zzyzx")).to_have_count(0)
    shown = page.content()
    for secret in ("Zzyzx", "Quentin", _PATIENT_ID):
        assert secret not in shown


def _assert_fits(page: Page, schemes: tuple[str, ...]) -> None:
    """The page in each colour scheme; the last one stays."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        light = "Number(getComputedStyle(document.querySelector('.stApp')).backgroundColor.match(/\\d+/g)[0]) > 128"
        expect_evaluated(page, light, scheme == "light")
        settle(page)
        expect_fits(page)


def _place_of_a_point(folder: Path, page: Page, canvas: Locator) -> tuple[float, float]:
    """Where the case nearest the middle of the first map is drawn, by the same rule as the map's own script."""
    casebook = Casebook.open(folder)
    positions = casebook.projection("image")
    box = still_box(page, canvas)
    low, high = positions.min(0), positions.max(0)
    middle = (low + high) / 2
    scale = float(min((box["width"] - 56) / (high - low)[0], (box["height"] - 56) / (high - low)[1]))
    x, y = positions[((positions - middle) ** 2).sum(1).argmin()]
    return box["width"] / 2 + float(x - middle[0]) * scale, box["height"] / 2 - float(y - middle[1]) * scale


def _dicom(folder: Path) -> bytes:
    """A film of the casebook as a DICOM file of a patient with a name."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    casebook = Casebook.open(folder)
    reference = next(image for image in casebook.table.column("image").to_pylist() if image)
    pixels = (casebook.film(reference).pixels * 4095).astype(np.uint16)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID = meta.MediaStorageSOPClassUID
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    header.PatientName, header.PatientID = _PATIENT, _PATIENT_ID
    header.Modality, header.ViewPosition = "DX", "PA"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    header.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
