"""The real app on a free port, and Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_app import launch, serving
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright


@dataclass(frozen=True)
class App:
    """A running app: its address, its casebook, and the file its output goes to."""

    url: str
    casebook: Path
    log: Path


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, phantom_casebook: Path) -> Iterator[App]:
    """The app on a small casebook of phantoms."""
    log = tmp_path_factory.mktemp("app") / "app.log"
    with serving([phantom_casebook], log) as url:
        yield App(url, phantom_casebook, log)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh visitor at a desk, in the dark."""
    expect.set_options(timeout=20_000)
    visitor = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    visitor.set_default_timeout(20_000)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A fresh tab."""
    return context.new_page()
