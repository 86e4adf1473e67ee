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
from index_builder.casebook import read_manifest
from index_builder.datasets import open_dataset
from index_builder.imaging import display_png

_LABELS = {"Cardiomegaly", "Pleural Effusion"}
_MOST_BYTES = 400_000


def main(casebook: Path, out: Path) -> None:
    """Write search.png, case.png, map.png, evaluation.png, quality.png and about.png to `out`."""
    if not read_manifest(casebook).dataset.synthetic:
        sys.exit(f"{casebook} holds real films. The README shows synthetic ones only.")
    out.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=60_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([casebook], Path(folder) / "app.log") as url,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
        film, text = _new_case(casebook)
        page.goto(url)
        page.locator("input[type=file]").set_input_files({"name": "film.png", "mimeType": "image/png", "buffer": film})
        expect(page.get_by_text("cases for your film")).to_be_visible()
        page.get_by_label("Report or description").fill(text)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_text("cases for your film and")).to_be_visible()
        expect(page.get_by_role("article").first).to_be_visible()
        _save(page, out / "search.png")
        page.get_by_role("link", name="Open case").first.click()
        expect(page.get_by_role("heading", name="Nearest cases")).to_be_visible()
        _save(page, out / "case.png")
        page.get_by_role("link", name="Show on map").click()
        expect(page.get_by_role("application")).to_be_visible()
        _save(page, out / "map.png")
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
        browser.close()


def _new_case(casebook: Path) -> tuple[bytes, str]:
    """Film and impression of a synthetic case that the casebook does not hold."""
    opened = Casebook.open(casebook)
    record = opened.manifest.dataset
    dataset = open_dataset(record.kind, None, record.seed)
    for case in dataset.cases():
        text = case.sections.get("impression", "")
        if set(case.labels) >= _LABELS and case.case_id not in opened and case.image and 30 < len(text) < 110:
            return display_png(dataset.load_film(case.image).pixels, None), text
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
