"""Pictures of the app for the README, from casebooks of synthetic films only.

python tests/browser/take_screenshots.py casebooks/phantom-openi docs/screenshots
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from live_app import launch, serving
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from explorer import Casebook
from index_builder.casebook.manifest import read_manifest
from index_builder.datasets import open_dataset
from index_builder.imaging import display_png

_LABELS = {"Cardiomegaly", "Pleural Effusion"}
_MOST_BYTES = 480_000
#: Milliseconds; a busy machine may need minutes to load the encoders.
_PATIENCE = 300_000


def main(casebook: Path, out: Path) -> None:
    """Write search.png, case.png, explain….png, map….png, evaluation.png, quality.png and about.png to `out`."""
    if not read_manifest(casebook).dataset.synthetic:
        sys.exit(f"{casebook} holds real films. The README shows synthetic ones only.")
    out.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=_PATIENCE)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([casebook], Path(folder) / "app.log") as url,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
        page.set_default_timeout(_PATIENCE)
        film, text = _new_case(casebook)
        page.goto(url)
        page.locator("input[type=file]").set_input_files({"name": "film.png", "mimeType": "image/png", "buffer": film})
        expect(page.get_by_text("cases for your film")).to_be_visible()
        page.get_by_label("Report or description").fill(text)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_text("cases for your film and")).to_be_visible()
        expect(page.get_by_role("article").first).to_be_visible()
        page.set_viewport_size({"width": 1440, "height": 1500})
        _save(page, out / "search.png")
        page.set_viewport_size({"width": 1440, "height": 900})
        page.get_by_role("link", name="Open case").first.click()
        expect(page.get_by_role("heading", name="Nearest cases")).to_be_visible()
        _save(page, out / "case.png")
        page.get_by_role("link", name="Show on map").click()
        expect(page.get_by_role("application")).to_be_visible()
        _save(page, out / "map.png")
        _choose(page)
        _save(page, out / "map-selection.png")
        page.get_by_role("button", name="Clear selection").click()
        _compare(page)
        _save(page, out / "map-compare.png")
        page.get_by_role("link", name="Evaluation").click()
        expect(page.get_by_role("heading", name="Each finding", exact=True)).to_be_visible()
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        _save(page, out / "evaluation.png")
        page.get_by_role("radio", name="Data quality").click()
        page.get_by_text("Show the cases").first.click()
        expect(page.get_by_role("article").first).to_be_visible()
        _save(page, out / "quality.png")
        page.get_by_role("link", name="About").click()
        expect(page.get_by_role("heading", name="Limits")).to_be_visible()
        _save(page, out / "about.png")
        _explanations(page, url, casebook, out)
        browser.close()


def _explanations(page: Page, url: str, casebook: Path, out: Path) -> None:
    """One finding on one film, two similar cases, and methods that need not agree."""
    opened = Casebook.open(casebook)
    case_id = next(one for one in opened.case_ids if set(opened.case(one).labels) >= _LABELS and opened.case(one).image)
    address = f"{url}/explain?case={case_id}"
    page.goto(f"{address}&finding=Cardiomegaly")
    page.get_by_role("radio", name="Integrated Gradients").click()
    expect(page.get_by_text("What Integrated Gradients shows")).to_be_visible()
    _save(page, out / "explain.png")
    page.get_by_text("All methods side by side").click()
    expect(page.get_by_text("Pearson ρ compares weights")).to_be_visible()
    page.get_by_text("Pearson ρ compares weights").scroll_into_view_if_needed()
    _save(page, out / "explain-methods.png")
    page.goto(address)
    page.get_by_role("radio", name="Similarity").click()
    expect(page.get_by_text("What Similarity parts shows")).to_be_visible()
    page.set_viewport_size({"width": 1440, "height": 1200})
    _save(page, out / "explain-similar.png")


def _choose(page: Page) -> None:
    """Draw a lasso around a group at the upper right of the map."""
    page.set_viewport_size({"width": 1440, "height": 1440})
    page.get_by_role("radio", name="Lasso").click()
    canvas = page.get_by_role("application").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    path = [(0.87, 0.1), (0.98, 0.1), (0.98, 0.29), (0.86, 0.29), (0.86, 0.14)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in path]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    expect(page.get_by_role("heading", name="chosen cases")).to_be_visible()
    expect(page.get_by_alt_text("Chest film of chosen case").first).to_be_visible()


def _compare(page: Page) -> None:
    """Films beside reports in space, clusters as colours."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_text("UMAP in 3-D", exact=True).click()
    page.get_by_text("Shapes and comparing").click()
    page.wait_for_timeout(800)
    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option", name="Reports").click()
    expect(page.get_by_text("the two agree on")).to_be_visible()
    page.get_by_text("Shapes and comparing").click()


def _new_case(casebook: Path) -> tuple[bytes, str]:
    """Film and report of a synthetic case that the casebook does not hold; of a few words nothing would be stated."""
    opened = Casebook.open(casebook)
    record = opened.manifest.dataset
    dataset = open_dataset(record.kind, None, record.seed)
    for case in dataset.cases():
        fits = 25 <= len(case.report.split()) <= 60
        if set(case.labels) >= _LABELS and case.case_id not in opened and case.image and fits:
            return display_png(dataset.load_film(case.image).pixels, None), case.report
    sys.exit(f"{casebook}: no case of {record.kind} with {sorted(_LABELS)} is left outside it. Build with --limit.")


def _save(page: Page, path: Path) -> None:
    page.mouse.move(720, 4)
    page.wait_for_timeout(2500)  # thumbnails, fonts and the canvas have drawn by then
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > _MOST_BYTES:
        picture.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
