"""How fast the map page is with many cases: python tests/benchmarks/map_speed.py CASEBOOK [CASES …].

For each number of cases (5,000, 100,000 and 1,000,000 by default) a casebook is made whose maps, labels and fields
repeat those of CASEBOOK with a little noise, the app is started on it, and Chromium measures: time to the first picture
of the map, on a server that has just started and on one that has been visited; how long frames take while the map is
dragged; how long a film takes to appear; and a box selection until its cases are shown. The About page, which draws no
map, is the baseline. Nothing is embedded or searched: only the first cases have vectors and films.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import pyarrow as pa
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from live_app import launch, serving

from index_builder.casebook.files import read_embeddings, read_table, write_table
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import (
    cluster_column,
    digest_files,
    map_columns,
    read_manifest,
    read_maps,
    write_manifest,
)
from index_builder.casebook.thumbnails import ThumbnailReader, thumbnail_writer
from index_builder.cases.space import SPACES
from index_builder.cases.table import read_cases, write_cases

_SIZES = (5_000, 100_000, 1_000_000)
_GROUP = 8_192
#: Of which the median is taken.
_VISITS = 3
#: Seconds until the server has loaded the system in the background.
_SETTLED = 12

#: The canvas is inside a shadow root; a map is there once the note that it is loading has gone.
_PAINTED = """() => [...document.querySelectorAll('*')].some(
  (one) => one.shadowRoot?.querySelector('.stage .waiting[hidden]'))"""
_NEXT_FRAME = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
)
_RECORD = """() => { window.frames_ = []; let last = performance.now();
  const tick = (now) => { window.frames_.push(now - last); last = now; window.rec_ = requestAnimationFrame(tick); };
  window.rec_ = requestAnimationFrame(tick); }"""
_STOP = "() => { cancelAnimationFrame(window.rec_); return window.frames_.slice(1); }"


def enlarge(source: Path, out: Path, count: int) -> None:
    """Write a casebook of `count` cases with maps like those of `source`."""
    random = np.random.default_rng(0)
    manifest, layout, new = read_manifest(source), Layout(source), Layout(out)
    first = manifest.cases
    rows = np.concatenate([np.arange(first), random.integers(first, size=count - first)])
    cases = read_cases(layout.cases, first)
    names = [*cases.column("case_id").to_pylist(), *(f"copy-{n:07d}" for n in range(count - first))]
    case_id = pa.array(names, pa.string())
    out.mkdir()
    write_cases(cases.take(pa.array(rows)).set_column(0, "case_id", case_id), new.cases, new.case_keys)
    projections = read_table(layout.projections).take(pa.array(rows)).set_column(0, "case_id", case_id)
    maps = read_maps(source)
    for space, found in maps.spaces.items():
        for name in found.maps:
            for column in map_columns(space, name):
                places = projections.column(column).to_numpy()
                noisy = places + np.where(
                    np.arange(count) < first, 0, random.normal(0, 0.03 * np.nanstd(places), count)
                )
                at = projections.column_names.index(column)
                projections = projections.set_column(at, column, pa.array(noisy.astype(np.float32), from_pandas=True))
        assert cluster_column(space) in projections.column_names
    write_table(projections, new.projections)
    shutil.copy(layout.maps, new.maps)
    shutil.copytree(layout.system, new.system)
    shutil.copytree(layout.index("image").parent, new.index("image").parent)
    new.embeddings("image").parent.mkdir()
    for space in SPACES:
        vectors = read_embeddings(source, space, first)
        mapped = np.lib.format.open_memmap(
            new.embeddings(space), mode="w+", dtype=np.float16, shape=(count, vectors.shape[1])
        )
        mapped[:first] = vectors
    reader = ThumbnailReader(layout.thumbnails)
    with thumbnail_writer(new.thumbnails) as writer:
        for start in range(0, count, _GROUP):
            part = case_id.slice(start, _GROUP)
            films = [reader[row] if row < first else None for row in range(start, start + len(part))]
            writer.write_table(pa.table({"case_id": part, "thumbnail": pa.array(films, pa.binary())}))
    write_manifest(out, manifest.model_copy(update={"name": out.name, "cases": count, "files": digest_files(out)}))


def first_picture(page: Page, url: str) -> float:
    """Seconds from navigation to the first picture of the map."""
    page.goto(f"{url}/map", wait_until="commit")
    page.wait_for_function(_PAINTED, polling=50)
    return float(page.evaluate(_NEXT_FRAME)) / 1000


def baseline(page: Page, url: str) -> float:
    """Seconds from navigation to the About page."""
    page.goto(f"{url}/about", wait_until="commit")
    page.get_by_role("heading", name="Limits").wait_for()
    return float(page.evaluate(_NEXT_FRAME)) / 1000


def frames(page: Page) -> tuple[float, float]:
    """Median and 95th percentile of milliseconds between frames while the map is dragged."""
    box = page.get_by_role("application").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y)
    page.evaluate(_RECORD)
    for step in range(60):
        page.mouse.move(x + 10 + 4 * (step % 30), y + 3 * (step % 20))
    found = np.array(page.evaluate(_STOP))
    page.mouse.up()
    return float(np.median(found)), float(np.percentile(found, 95))


def film(page: Page) -> float:
    """Seconds from resting on a case to its card."""
    canvas = page.get_by_role("application").first
    canvas.focus()
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    began = perf_counter()
    page.keyboard.press("ArrowRight")
    page.locator(".tip-text div").first.wait_for()
    return perf_counter() - began


def selection(page: Page) -> float:
    """Seconds from the end of drawing a box to the chosen cases."""
    page.get_by_role("radio", name="Box").click()
    box = page.get_by_role("application").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
    began = perf_counter()
    page.mouse.up()
    page.get_by_role("heading", name="chosen cases").wait_for()
    return perf_counter() - began


def measure(browser: Browser, source: Path, count: int) -> None:
    """Print one line of figures."""
    with tempfile.TemporaryDirectory() as folder:
        casebook = Path(folder) / "enlarged"
        enlarge(source, casebook, count)
        with serving([casebook], Path(folder) / "app.log") as url:

            def visitor() -> Page:
                page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
                page.set_default_timeout(240_000)
                return page

            cold = first_picture(visitor(), url)
            sleep(_SETTLED)
            pages = [visitor() for _ in range(_VISITS)]
            warm = float(np.median([first_picture(page, url) for page in pages]))
            about = float(np.median([baseline(visitor(), url) for _ in range(_VISITS)]))
            page = pages[-1]
            median, late = frames(page)
            shown, chosen = film(page), selection(page)
    print(
        f"{count:>9,} cases: first picture {cold:.2f} s on a new server, {warm:.2f} s later (About {about:.2f} s); "
        f"frames {median:.0f} ms, 95 % under {late:.0f} ms; film {shown:.2f} s; selection {chosen:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        for size in map(int, sys.argv[2:] or _SIZES):
            measure(chromium, Path(sys.argv[1]), size)
