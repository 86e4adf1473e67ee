"""Links and addresses in a real browser, with three casebooks open."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from waiting import (
    case_ids,
    expect_address,
    expect_evaluated,
    expect_fits,
    expect_in_address,
    expect_no_fault,
    expect_soon,
    labels,
    parameters,
    settle,
    visit,
)

from explorer import Casebook

pytestmark = pytest.mark.browser

_HERE = ("Search", "Case", "Explain", "Map", "Evaluation", "About")


def _search(page: Page, url: str, text: str) -> None:
    page.goto(url)
    page.get_by_role("textbox", name="Report or description").fill(text)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("article")).to_have_count(5)
    expect_in_address(page, q=text)


def test_back_and_forward_bring_the_same_screens(app, page: Page) -> None:
    _search(page, app.url, "enlarged heart")
    ids = case_ids(page)
    cards = page.get_by_role("article")
    found = labels(cards)
    page.get_by_role("link", name="Open case").nth(1).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[1])
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[2])
    expect(page).to_have_url(re.compile(f"case={ids[2]}"))
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[1])
    expect(page).to_have_url(re.compile(f"case={ids[1]}"))
    page.go_back()
    expect_soon(page, lambda: labels(cards), found, "cards after going back")
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[1])
    page.get_by_role("link", name="Find cases like this").click()
    expect(page.get_by_text("Searching with case")).to_be_visible()
    expect_address(page, casebook=app.casebook.name, like=ids[1])
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[1])
    expect_no_fault(app.log)


def test_a_copied_link_is_the_screen(app, browser: Browser, context: BrowserContext, page: Page) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    _search(page, app.url, "pleural effusion")
    page.get_by_role("link", name="Map", exact=True).click()
    settle(page)
    page.get_by_role("radio", name="t-SNE").click()
    expect_in_address(page, layout="tsne")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    expect_evaluated(page, "navigator.clipboard.readText()", page.url)
    with visit(browser) as visitor:
        stranger = visitor.new_page()
        stranger.goto(page.url)
        expect(stranger.get_by_text("“pleural effusion”, placed at the mean")).to_be_visible()
        expect(stranger.get_by_role("radio", name="t-SNE")).to_be_checked()
        expect_soon(stranger, lambda: parameters(stranger), parameters(page), "parameters of the stranger's address")


def test_jumps_from_every_page_in_the_third_casebook(app, page: Page) -> None:
    folder = app.others[1]
    casebook = Casebook.open(folder)
    wanted = casebook.case_ids[7]
    page.goto(f"{app.url}/case?casebook={folder.name}")
    page.get_by_role("combobox", name="Or type an id").fill(wanted)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(wanted)
    expect_address(page, casebook=folder.name, case=wanted)
    page.get_by_role("link", name="Show on map").click()
    canvas = page.get_by_role("application", name=re.compile("^Map of"))
    canvas.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(wanted)
    expect_address(page, casebook=folder.name, case=wanted)
    page.get_by_role("link", name="More like this").first.click()
    expect(page.get_by_text("Searching with case")).to_be_visible()
    expect_in_address(page, casebook=folder.name)
    page.goto(f"{app.url}/explain?casebook={folder.name}")
    page.get_by_role("combobox", name="Case", exact=True).fill(wanted)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Explain {wanted}")
    expect_in_address(page, case=wanted)
    page.get_by_role("link", name="Open case").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(wanted)
    for name in _HERE:
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page).to_have_url(re.compile(rf"(/{name.lower()})?\?casebook={folder.name}"))
    expect_no_fault(app.log)


def test_the_switch_changes_the_casebook_and_its_address(app, page: Page) -> None:
    _search(page, app.url, "nodule")
    page.get_by_role("combobox", name="Casebook").click()
    page.get_by_role("option", name=app.others[1].name).click()
    expect_address(page, casebook=app.others[1].name, q="nodule")
    page.go_back()
    expect(page).to_have_url(re.compile(f"casebook={app.casebook.name}"))
    expect(page.get_by_role("article", name=re.compile(f"case {app.casebook.name}-")).first).to_be_visible()


def test_pages_are_reached_on_a_phone(app, context: BrowserContext) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(app.url)
    for name in ("Map", "Case", "Search"):
        settle(page)  # the side bar with its links is there for a moment, then folded away
        page.get_by_role("link", name=name, exact=True).filter(visible=True).first.click()
        expect(page).to_have_url(re.compile(rf"(/{name.lower()})?\?casebook="))
        expect_fits(page)
