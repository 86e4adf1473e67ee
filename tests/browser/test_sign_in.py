"""Sign-in with a real OpenID Connect provider, roles, and who opened which case."""

from __future__ import annotations

import json
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_app import free_port, serving
from oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, providing
from playwright.sync_api import Browser, Page, expect
from waiting import expect_soon, settle, visit

from explorer import Casebook

pytestmark = pytest.mark.browser

_PEOPLE = {
    "vera": {"sub": "1", "email": "Vera@clinic.example", "email_verified": True},
    "emil": {"sub": "2", "email": "emil@elsewhere.example", "email_verified": True, "groups": ["x-ray teachers"]},
    "ivan": {"sub": "3", "email": "ivan@elsewhere.example", "email_verified": True, "groups": ["others"]},
    "mallory": {"sub": "4", "email": "mallory@clinic.example", "email_verified": False},
}


@dataclass(frozen=True)
class Closed:
    """An app that asks who is there."""

    url: str
    casebook: Path
    log: Path
    audit: Path
    provider: Provider

    def audited(self, **wanted: str) -> list[dict[str, str]]:
        """What was written down, of it those lines that have what is wanted."""
        lines = [json.loads(line) for line in self.audit.read_text("utf-8").splitlines()]
        return [line for line in lines if wanted.items() <= line.items()]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, small_casebook: Path) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    port = free_port()
    with providing() as provider:
        provider.people = dict(_PEOPLE)
        provider.redirect_uri = f"http://localhost:{port}/oauth2callback"
        (folder / ".streamlit").mkdir()
        (folder / ".streamlit" / "secrets.toml").write_text(
            f"""
[auth]
redirect_uri = "{provider.redirect_uri}"
cookie_secret = "a secret of the test, long enough to sign"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{provider.metadata_url}"

[access]
audit_log = "{folder / "audit.jsonl"}"

[access.viewer]
domains = ["clinic.example"]

[access.exporter]
groups = ["x-ray teachers"]
""",
            "utf-8",
        )
        log = folder / "app.log"
        with serving([small_casebook], log, port=port) as url:
            yield Closed(url, small_casebook, log, folder / "audit.jsonl", provider)


def test_nothing_is_shown_before_the_sign_in(closed: Closed, page: Page) -> None:
    for address in ("", "case?case=case-000", "map", "evaluation", "explain?case=case-000", "about"):
        page.goto(f"{closed.url}/{address}")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(page.get_by_text("not for diagnosis")).to_be_visible()
        settle(page)
        assert "case-000" not in page.content()
        assert closed.casebook.name not in page.locator("body").inner_text()
        expect(page.locator("input[type=file]")).to_have_count(0)
    assert not closed.audit.exists()


def test_a_viewer_reads_and_takes_nothing_away(closed: Closed, page: Page) -> None:
    _sign_in(closed, page, "vera")
    expect(page.get_by_text("Vera@clinic.example (viewer)")).to_be_visible()
    _search(page)
    expect(page.get_by_role("button", name=re.compile("CSV|JSON|Predictions"))).to_have_count(0)
    page.get_by_role("link", name="Open case").first.click()
    expect(page.get_by_role("heading", name=re.compile("^case-"))).to_be_visible()
    settle(page)
    case_id = page.locator("h1.cxr-title").inner_text()
    page.goto(f"{closed.url}/evaluation")
    expect(page.get_by_role("heading", name="Evaluation")).to_be_visible()
    expect(page.get_by_text("For education").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("CSV"))).to_have_count(0)
    opened = expect_soon(page, lambda: closed.audited(who="Vera@clinic.example", event="case"), bool, "case in the log")
    assert {"case": case_id, "casebook": closed.casebook.name, "role": "viewer"}.items() <= opened[0].items()
    assert not closed.audited(who="Vera@clinic.example", event="export")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_an_exporter_takes_files_away_and_the_log_says_so(closed: Closed, page: Page) -> None:
    _sign_in(closed, page, "emil")
    _search(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "neighbours-small.csv"
    content = Path(download.value.path()).read_text("utf-8-sig")
    assert sum(case_id in content for case_id in Casebook.open(closed.casebook).case_ids) == 5
    exports = expect_soon(page, lambda: closed.audited(event="export"), bool, "exports in the log")
    assert [(one["who"], one["file"]) for one in exports] == [("emil@elsewhere.example", "neighbours-small.csv")]


@pytest.mark.parametrize("login", ["ivan", "mallory"])
def test_who_is_on_no_list_sees_nothing(closed: Closed, page: Page, login: str) -> None:
    """Ivan is in no list; Mallory claims an address of the clinic that nobody has verified."""
    _sign_in(closed, page, login)
    expect(page.get_by_text(f"{_PEOPLE[login]['email']} is not on this explorer's list")).to_be_visible()
    page.goto(f"{closed.url}/case?case=case-000")
    expect(page.get_by_text("is not on this explorer's list")).to_be_visible()
    settle(page)
    assert "case-000" not in page.content()
    told = expect_soon(page, lambda: closed.audited(who=_PEOPLE[login]["email"]), bool, "refusals in the log")
    assert {one["event"] for one in told} == {"refused"}


def test_a_sign_in_runs_out_with_its_token(closed: Closed, page: Page) -> None:
    closed.provider.lifetime = 15  # seconds; a busy machine takes as long as some of them to show the page
    try:
        _sign_in(closed, page, "emil")
        signed_in = time.monotonic()
        expect(page.get_by_text("emil@elsewhere.example (exporter)")).to_be_visible()
        page.wait_for_timeout(1000 * max(0, signed_in + closed.provider.lifetime - time.monotonic()))
        page.get_by_role("link", name="About").click()
        expect(page.get_by_text("Your session has expired")).to_be_visible()
    finally:
        closed.provider.lifetime = 3600


def test_forged_tokens_and_cookies_open_nothing(closed: Closed, browser: Browser) -> None:
    with visit(browser) as visitor:
        page = visitor.new_page()
        closed.provider.forged = True
        try:
            _sign_in(closed, page, "emil")
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        finally:
            closed.provider.forged = False
        claims = json.dumps(_PEOPLE["emil"] | {"is_logged_in": True, "exp": 9e9, "origin": closed.url})
        visitor.add_cookies([{"name": "_streamlit_user", "value": claims.replace('"', "'"), "url": closed.url}])
        page.goto(closed.url)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_logs_hold_no_query_and_are_the_owners_alone(closed: Closed) -> None:
    written = closed.audit.read_text("utf-8") + closed.log.read_text("utf-8")
    assert "heart" not in written
    assert "Traceback (most recent call last)" not in written.replace(_forgery(written), "")
    assert stat.S_IMODE(closed.audit.stat().st_mode) == 0o600
    assert {tuple(sorted(one)) for one in closed.audited()} <= {
        ("event", "role", "time", "who"),
        ("case", "casebook", "event", "role", "time", "who"),
        ("event", "file", "role", "time", "who"),
    }


def _forgery(log: str) -> str:
    """The part of the log in which Streamlit tells of the forged token."""
    start = log.find("OAuth token exchange failed")
    return log[start:] if start >= 0 else ""


def _sign_in(closed: Closed, page: Page, login: str) -> None:
    page.goto(closed.url)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=login).click()
    page.wait_for_url(re.compile(re.escape(closed.url) + "/?$"))


def _search(page: Page) -> None:
    page.get_by_label("Report or description").fill("normal heart")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(5)
