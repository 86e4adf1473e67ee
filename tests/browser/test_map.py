"""The map in a real browser: choosing cases, what is shown of them, taking them home; two maps; turning; touch."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from waiting import expect_fits, expect_points, expect_soon, settle, still_box, visit

from explorer import Casebook
from index_builder.casebook.manifest import verify

pytestmark = pytest.mark.browser

_CHOSEN = re.compile(r"^[\d,]+ cases? chosen$")


def test_lasso_to_gallery_to_csv_and_casebook(app, page: Page, tmp_path: Path) -> None:
    casebook = Casebook.open(app.casebook)
    canvas = _open_map(page, app.url)
    page.get_by_role("radio", name="Lasso").click()
    _drag(page, canvas, [(0.02, 0.02), (0.6, 0.03), (0.55, 0.97), (0.03, 0.98)])
    heading = page.get_by_role("heading", name=re.compile("chosen case"))
    expect(heading).to_be_visible()
    settle(page)
    count = int(heading.inner_text().split()[0])
    assert 0 < count < len(casebook)
    expect(page.get_by_text(_CHOSEN)).to_have_text(f"{count} {'case' if count == 1 else 'cases'} chosen")
    films = page.get_by_alt_text(re.compile("^Chest film of chosen case"))
    expect(films).to_have_count(min(24, count))

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    ids = [row["case_id"] for row in csv.DictReader(io.StringIO(text))]
    assert len(ids) == count
    # The lasso went around the left of the map: those cases lie left of the others.
    x = casebook.projection("image")[:, 0]
    left = [x[casebook.row(case_id)] for case_id in ids]
    right = [x[row] for row, case_id in enumerate(casebook.case_ids) if case_id not in ids]
    assert max(left) < min(right) + 0.2 * (x.max() - x.min())

    with page.expect_download() as download:
        page.get_by_role("button", name="Casebook (ZIP)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    [folder] = tmp_path.iterdir()
    assert verify(folder) == []
    assert list(Casebook.open(folder).case_ids) == ids

    # The choice outlives a visit to a case and holds on another layout.
    page.get_by_role("link", name=ids[0], exact=True).click()
    expect(page.get_by_role("heading", name=ids[0])).to_be_visible()
    page.get_by_role("link", name="Map", exact=True).first.click()
    expect(page.get_by_role("heading", name=re.compile("chosen case"))).to_be_visible()
    page.get_by_text("t-SNE", exact=True).click()
    expect(page.get_by_text("laid out by t-SNE")).to_be_visible()
    expect_points(page)
    expect(page.get_by_text(_CHOSEN)).to_have_text(f"{count} {'case' if count == 1 else 'cases'} chosen")
    page.get_by_role("button", name="Clear selection").click()
    expect(page.get_by_role("heading", name=re.compile("chosen case"))).to_have_count(0)


def test_box_adds_takes_away_and_keys_choose(app, page: Page) -> None:
    canvas = _open_map(page, app.url)
    page.get_by_role("radio", name="Box").click()
    told = page.get_by_text(_CHOSEN)
    _drag(page, canvas, [(0.02, 0.02), (0.5, 0.98)])
    expect(told).to_be_visible()
    settle(page)
    left = int(told.inner_text().split()[0])
    page.keyboard.down("Shift")
    _drag(page, canvas, [(0.5, 0.02), (0.98, 0.98)])
    page.keyboard.up("Shift")
    count = len(Casebook.open(app.casebook))
    expect(told).to_have_text(f"{count} cases chosen")
    expect(page.get_by_role("heading", name=f"{count} chosen cases")).to_be_visible()
    page.keyboard.down("Alt")
    _drag(page, canvas, [(0.02, 0.02), (0.5, 0.98)])
    page.keyboard.up("Alt")
    expect(told).to_have_text(f"{count - left} cases chosen")
    page.get_by_role("button", name="Clear selection").click()

    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(told).to_have_text("1 case chosen")
    expect(page.get_by_role("heading", name="1 chosen case")).to_be_visible()
    chosen = page.get_by_alt_text(re.compile("^Chest film of chosen case"))
    expect(chosen).to_be_visible()
    settle(page)
    case_id = (chosen.get_attribute("alt") or "").removeprefix("Chest film of chosen case ").split(":")[0]
    expect(page.get_by_alt_text(f"Chest film of case {case_id}", exact=True)).to_be_visible()


def test_two_maps_point_at_the_same_case(app, page: Page) -> None:
    first = _open_map(page, app.url)
    page.get_by_text("Shapes and comparing").click()
    still_box(page, page.get_by_role("combobox", name=re.compile("Compare with")))
    settle(page)  # while it unfolds a list that opens is closed again
    page.get_by_role("combobox", name=re.compile("Compare with")).click()
    page.get_by_role("option", name="Reports").click()
    second = page.get_by_role("application", name=re.compile("^Second map"))
    expect(second).to_be_visible()
    expect(page.get_by_text("the two agree on")).to_be_visible()
    expect_points(page, maps=2)
    before = _still_picture(page, second, _INK)
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_alt_text(re.compile("^Chest film of case"))).to_be_visible()
    expect_soon(
        page, lambda: second.evaluate(_INK), lambda ink: ink > before, "ink that marks the case on the second map"
    )


def test_a_map_in_space_turns(app, page: Page) -> None:
    canvas = _open_map(page, app.url)
    page.get_by_text("UMAP in 3-D", exact=True).click()
    expect(page.get_by_text("Drag to turn it")).to_be_visible()
    expect_points(page)
    ground = page.locator("canvas.points")
    before = _still_picture(page, ground, _PICTURE)
    _drag(page, canvas, [(0.3, 0.5), (0.6, 0.6)])
    expect_soon(page, lambda: ground.evaluate(_PICTURE) != before, True, "the map in space turns")


def test_fingers_show_open_pinch_and_choose(app, browser: Browser) -> None:
    with visit(browser, viewport={"width": 390, "height": 860}, has_touch=True) as visitor:
        _touch_the_map(app, visitor.new_page())


def _touch_the_map(app, page: Page) -> None:
    canvas = _open_map(page, app.url)
    canvas.scroll_into_view_if_needed()
    box = still_box(page, canvas)
    wire = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(places)
        ]
        wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    ground = page.locator("canvas.points")
    before = _still_picture(page, ground, _PICTURE)
    touch("touchStart", (0.45, 0.5), (0.55, 0.5))
    for step in range(1, 7):
        touch("touchMove", (0.45 - 0.04 * step, 0.5), (0.55 + 0.04 * step, 0.5))
    touch("touchEnd")
    expect_soon(page, lambda: ground.evaluate(_PICTURE) != before, True, "a pinch zooms")
    page.get_by_role("button", name="Show the whole map").click()
    settle(page)
    page.get_by_role("radio", name="Box").click()
    expect_soon(page, lambda: ground.evaluate(_PICTURE), before, "the whole map, as before")
    box = still_box(page, canvas)
    touch("touchStart", (0.02, 0.02))
    touch("touchMove", (0.5, 0.5))
    touch("touchMove", (0.98, 0.98))
    touch("touchEnd")
    expect(page.get_by_text(_CHOSEN)).to_be_visible()
    settle(page)
    expect_fits(page)


#: Drawn pixels of the canvas over the points: rings, numbers, outlines.
_INK = """(one) => one.getContext('2d').getImageData(0, 0, one.width, one.height).data
  .reduce((sum, value, at) => sum + (at % 4 === 3 && value > 0), 0)"""
_PICTURE = "(one) => one.toDataURL()"


def _still_picture(page: Page, canvas: Locator, script: str) -> Any:
    """What a script reads of a canvas, once it reads it twice over, a quarter of a second apart."""
    settle(page)
    read: list[Any] = []

    def is_still(found: Any) -> bool:
        read.append(found)
        return len(read) > 5 and len({repr(one) for one in read[-5:]}) == 1

    return expect_soon(page, lambda: canvas.evaluate(script), is_still, "a canvas that stands still")


def _open_map(page: Page, url: str) -> Locator:
    page.goto(f"{url}/map")
    canvas = page.get_by_role("application", name=re.compile("^Map of"))
    expect(canvas).to_be_visible()
    expect_points(page)
    return canvas


def _drag(page: Page, canvas: Locator, path: list[tuple[float, float]]) -> None:
    settle(page)
    canvas.scroll_into_view_if_needed()
    box = still_box(page, canvas)
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in path]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
