"""The evaluation page and the report as a reader meets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect
from waiting import expect_evaluated, expect_fits, expect_no_fault, expect_soon, labels, settle, visit

from explorer import Casebook
from explorer.charts.measured import of_casebook
from explorer.report.html import read_sources, write_report
from explorer.report.pdf import find_chromium, print_pdf

pytestmark = pytest.mark.browser

#: Where a point of a figure is on the screen: figure, trace, point.
_PLACE = """([figure, trace, point]) => {
    const graph = document.querySelectorAll('.js-plotly-plot')[figure];
    const data = graph._fullData[trace], layout = graph._fullLayout, box = graph.getBoundingClientRect();
    const x = layout['xaxis' + data.xaxis.slice(1)], y = layout['yaxis' + data.yaxis.slice(1)];
    return [box.left + x._offset + x.d2p(data.x[point]), box.top + y._offset + y.d2p(data.y[point])];
}"""


def test_a_cell_leads_to_its_cases_and_they_to_the_case_page(app, page: Page) -> None:
    page.goto(f"{app.url}/evaluation?section=Findings")
    expect(page.get_by_role("heading", name="Confusion")).to_be_visible()
    measured = of_casebook(Casebook.open(app.casebook))[0]
    carried = measured.result["classification"]["per_class"]
    shown = [name for name, row in carried.items() if row["positives"]]
    number = next(place for place, name in enumerate(shown) if carried[name]["confusion"]["fn"])
    plot = page.locator(".js-plotly-plot").nth(2)
    plot.scroll_into_view_if_needed()
    settle(page)
    x, y = _still_place(page, [2, 1, 4 * number + 1])
    # Beside the middle of the cell, as a reader clicks.
    page.mouse.move(x + 30, y)
    expect(page.get_by_text("click to see them")).to_be_visible()
    page.mouse.click(x + 30, y)
    expect(page.get_by_text(re.compile(f"{shown[number].replace('_', ' ')}: missed"))).to_be_visible()
    missed = carried[shown[number]]["confusion"]["fn"]
    cards = page.get_by_role("article", name=re.compile("^Case "))
    expect(cards).to_have_count(min(12, missed))
    settle(page)
    case_id = labels(cards)[0].removeprefix("Case ")
    page.get_by_role("link", name=case_id, exact=True).first.click()
    expect(page.get_by_role("heading", name=case_id)).to_be_visible()
    expect_no_fault(app.log)


def _still_place(page: Page, point: list[int]) -> list[float]:
    """Where a point of a figure is, once it has stopped moving."""
    places: list[list[float]] = []

    def place() -> list[list[float]]:
        places.append(page.evaluate(_PLACE, point))
        return places[-2:]

    return expect_soon(page, place, lambda last: len(last) == 2 and last[0] == last[1], "a point that stands still")[0]


def test_figures_are_taken_away_as_csv_and_svg(app, page: Page) -> None:
    page.goto(f"{app.url}/evaluation")
    expect(page.get_by_role("heading", name="Each finding", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Data as CSV").click()
    assert download.value.suggested_filename == f"{app.casebook.name}-classes.csv"
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert lines[0] == "metric,finding,value,low,high,positives"
    assert len(lines) > 10
    with page.expect_download() as download:
        page.locator(".js-plotly-plot .modebar-btn").click()
    assert download.value.suggested_filename == f"{app.casebook.name}-classes.svg"
    assert Path(download.value.path()).read_text("utf-8").startswith("<svg")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_no_section_is_wider_than_the_screen(app, browser: Browser, width: int, scheme: str) -> None:
    ground = "getComputedStyle(document.querySelector('.js-plotly-plot .main-svg')).background.match(/\\d+/g)[0]"
    with visit(browser, viewport={"width": width, "height": 860}, color_scheme=scheme) as visitor:
        page = visitor.new_page()
        for section, landmark in (
            ("Overview", "Each finding in figures"),
            ("Confidence", "Risk against coverage"),
            ("Systems", "Systems and baselines"),
            ("Data%20quality", "Labels in each part"),
        ):
            page.goto(f"{app.url}/evaluation?section={section}")
            expect(page.get_by_role("heading", name=landmark)).to_be_visible()
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
            settle(page)
            expect_fits(page)
            expect_evaluated(page, f"Number({ground}) > 128", scheme == "light")


def test_the_report_draws_all_its_figures_without_a_network(
    browser: Browser, tmp_path: Path, phantom_casebook: Path
) -> None:
    report = tmp_path / "report.html"
    write_report(read_sources([phantom_casebook]), report, lambda *_: None)
    with visit(browser, viewport={"width": 390, "height": 860}, offline=True) as visitor:
        _assert_drawn_offline(visitor.new_page(), report)
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("Chromium is Playwright's own here, and the report looks for an installed one.")
    pdf = report.with_suffix(".pdf")
    print_pdf(chromium, report, pdf)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") > 5


def _assert_drawn_offline(page: Page, report: Path) -> None:
    asked: list[Request] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", name="Data quality")).to_be_attached()
    figures = report.read_text("utf-8").count("Plotly.newPlot(")
    expect(page.locator(".js-plotly-plot .plot-container")).to_have_count(figures)
    assert not faults
    assert [one.url[:60] for one in asked if not one.url.startswith(("file:", "data:", "blob:"))] == []
    expect_fits(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").first.click()
    assert Path(download.value.path()).read_text("utf-8-sig").startswith("metric,finding")
