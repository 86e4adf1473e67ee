"""Hooks of mkdocs (`make docs`): the order of the site, its pages from outside of docs/, and one of each package.

Changelog, rules for contributors and model cards stay where readers of the repository look for them; the site shows
them as pages of its own, and links to them are turned there. Pages of the Python API are made for whatever packages
there are, so that none is forgotten and none is named that has moved.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[1]
_LOG = get_plugin_logger("docs_site")
_LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
_CODE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_KINDS = {
    "tutorial": "Tutorials",
    "how-to": "How-to guides",
    "reference": "Reference",
    "explanation": "Explanation",
    "measurements": "Measurements",
    "decisions": "Decisions",
}
_API = "reference/api"


def _outside() -> dict[str, str]:
    """Pages from outside of docs/: path in the repository -> path in the site."""
    own = {page.name: f"project/{page.name}" for page in sorted(_ROOT.glob("*.md")) if page.name != "README.md"}
    cards = sorted((_ROOT / "assets" / "checkpoints").glob("*/README.md"))
    return own | {card.relative_to(_ROOT).as_posix(): f"project/{card.parent.name}.md" for card in cards}


def _packages() -> list[str]:
    """Dotted names of the two packages' parts, those of the app left out: nobody imports its pages."""
    folders = [init.parent for half in ("explorer", "index_builder") for init in (_ROOT / half).glob("*/__init__.py")]
    names = sorted(".".join(folder.relative_to(_ROOT).parts) for folder in folders)
    return [name for name in names if name not in {"explorer.app", "explorer.cli"}]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the order of the site: kinds of pages, each with its index first, then what lies outside of docs/."""
    docs = Path(config.docs_dir)
    nav: list[object] = ["index.md"]
    for kind, title in _KINDS.items():
        rest = sorted(page.relative_to(docs).as_posix() for page in (docs / kind).glob("*.md") if page.stem != "index")
        section: list[object] = [f"{kind}/index.md", *rest]
        if kind == "reference":
            section.append({"Packages": [{name: f"{_API}/{name}.md"} for name in _packages()]})
        nav.append({title: section})
    nav.append({"Project": list(_outside().values())})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/, the logo, and a page of each package."""
    for path, uri in _outside().items():
        files.append(File.generated(config, uri, content=(_ROOT / path).read_text("utf-8")))
    for name in ("logo.svg", "favicon.svg"):
        files.append(File.generated(config, name, abs_src_path=str(_ROOT / "assets" / name)))
    for name in _packages():
        options = "    options: {show_submodules: true, heading_level: 2}"
        files.append(File.generated(config, f"{_API}/{name}.md", content=f"# {name}\n\n::: {name}\n{options}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave docs/, or come from outside of it, to where the site has their page."""
    outside = _outside()
    origins = {uri: path for path, uri in outside.items()}
    uri = page.file.src_uri
    here = origins.get(uri, f"docs/{uri}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2]))
        goal = outside.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if goal is None:
            _LOG.warning("%s links to %s, which the site does not hold", here, link[2])
            return link[0]
        return link[1] + posixpath.relpath(goal, posixpath.dirname(uri) or ".") + link[3]

    parts = _CODE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in parts)
