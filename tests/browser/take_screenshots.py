"""Pictures of the app for the README, from casebooks of synthetic films only.

python tests/browser/take_screenshots.py casebooks/phantom-openi docs/screenshots
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from live_app import launch, serving
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from index_builder.casebook import read_manifest

_TEXT = "Enlarged heart with left pleural effusion."
_MOST_BYTES = 400_000


def main(casebook: Path, out: Path) -> None:
    """Write search.png, case.png, map.png and about.png to `out`."""
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
        page.goto(url)
        page.get_by_label("Report or description").fill(_TEXT)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_role("article").first).to_be_visible()
        _save(page, out / "search.png")
        page.get_by_role("link", name="Open case").first.click()
        expect(page.get_by_role("heading", name="Nearest cases")).to_be_visible()
        _save(page, out / "case.png")
        page.get_by_role("link", name="Show on map").click()
        expect(page.get_by_role("application")).to_be_visible()
        _save(page, out / "map.png")
        page.get_by_role("link", name="About").click()
        expect(page.get_by_role("heading", name="Limits")).to_be_visible()
        _save(page, out / "about.png")
        browser.close()


def _save(page: Page, path: Path) -> None:
    page.wait_for_timeout(2500)  # thumbnails, fonts and the canvas have drawn by then
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (256, 128, 64):
        # Median cut without dithering: grey films and flat surfaces keep their look in few colours.
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < _MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
