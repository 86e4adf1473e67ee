"""What a report, a label or an address brings along is text on every page: nothing runs, nothing becomes an element."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pytest
from live_app import serving
from playwright.sync_api import BrowserContext, Page, expect

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest
from index_builder.cases.table import read_cases, write_cases

pytestmark = pytest.mark.browser

_MARKUP = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"><svg onload=window.pwned=1> '
    "[click](javascript:window.pwned=1) ![x](http://127.0.0.1:9/leak.png) :red[red] "
    "$\\href{javascript:window.pwned=1}{x}$"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, small_casebook: Path) -> Iterator[str]:
    """The app on a casebook whose texts, labels, fields and card all hold markup; one film leads out of the folder."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(small_casebook, folder / "small")
    layout = Layout(folder / "small")
    count = read_manifest(layout.folder).cases
    table = read_cases(layout.cases, count)
    columns = {name: pa.array(table.column(name).to_pylist()) for name in table.column_names}
    columns["section.findings"] = pa.array([f"Normal heart. {_MARKUP}"] * count)
    columns["labels"] = pa.array([[_MARKUP]] * count, pa.list_(pa.string()))
    columns["codes"] = pa.array([[_MARKUP]] * count, pa.list_(pa.string()))
    columns["profile.sex"] = pa.array([_MARKUP] * count)
    columns["profile.<b>note</b>"] = pa.array([_MARKUP] * count)
    columns["image"] = pa.array(["../../../../../../etc/passwd"] * count)
    write_cases(pa.table(columns), layout.cases, layout.case_keys)
    layout.held_out.unlink()  # answers about the labels that were replaced
    manifest = json.loads((folder / "small" / "manifest.json").read_text("utf-8"))
    for name in ("title", "description", "citation", "licence", "source", "label_definition"):
        manifest["dataset"][name] = _MARKUP
    manifest["dataset"]["label_names"] = [_MARKUP]
    (folder / "small" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with serving([folder / "small"], folder / "app.log") as url:
        yield url


@pytest.fixture(autouse=True)
def _patience(context: BrowserContext) -> None:
    """The first search loads the system."""
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)


def test_markup_of_a_casebook_is_shown_and_not_obeyed(hostile: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(hostile)
    page.get_by_label("Report or description").fill(f"normal heart {_MARKUP}")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(5)
    _assert_inert(page)
    pages = {
        "case?case=case-000": page.get_by_role("heading", name="case-000"),
        f"case?case={quote(_MARKUP)}": page.get_by_role("heading", name="No such case here"),
        "map": page.get_by_role("application"),
        "explain?case=case-000": page.get_by_role("heading", name="Explain case-000"),
        "evaluation": page.get_by_role("heading", name="Evaluation"),
        "evaluation?section=Data+quality": page.get_by_role("heading", name="Evaluation"),
        "about": page.get_by_role("heading", name="Limits"),
        f"about?casebook={quote(_MARKUP)}": page.get_by_role("heading", name="This casebook is not open here"),
    }
    for address, landmark in pages.items():
        page.goto(f"{hostile}/{address}")
        expect(landmark).to_be_visible()
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        _assert_inert(page)
    assert [url for url in asked if not url.startswith((hostile, "data:", "blob:"))] == []
    assert f"{hostile}/x" not in asked


def test_a_film_outside_the_source_is_not_read(hostile: str, page: Page) -> None:
    page.goto(f"{hostile}/case?case=case-000")
    expect(page.get_by_text("small copy").first).to_be_visible()
    assert "root:" not in page.content()


@pytest.mark.parametrize(
    "address",
    [
        "/app/static/../../../../../../etc/passwd",
        "/app/static/..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/media/../../../../etc/passwd",
        "/media/..%2f..%2f.streamlit%2fsecrets.toml",
        "/component/x/../../../../etc/passwd",
        "/_stcore/bidi-components/x/..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
    ],
)
def test_addresses_lead_to_no_file_of_the_server(hostile: str, address: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(hostile).netloc, timeout=10)
    try:
        connection.request("GET", address)  # as it is: neither side of http.client resolves the dots
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert b"root:" not in body
    assert response.status >= 400 or b"<!doctype html>" in body.lower()


def _assert_inert(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    made = "img[src=x], img[src*=leak], svg[onload], a[href^=javascript]"
    assert page.evaluate(f"[...document.querySelectorAll('{made}')].map(one => one.outerHTML.slice(0, 300))") == []
    assert page.evaluate("[...document.scripts].filter(one => one.text.includes('pwned')).length") == 0
