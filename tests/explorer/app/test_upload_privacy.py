"""An uploaded film and a typed text: in the memory of one session, and nowhere else."""

from __future__ import annotations

import logging
import pickle
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from places import ROOT
from streamlit.runtime.caching import cache_data_api, cache_resource_api
from streamlit.testing.v1 import AppTest

from explorer.app.session import QueryFilm, stage_film
from explorer.app.settings import AppSettings
from index_builder.imaging.film import MIB

_ROOT = ROOT
_SECRETS = ("Zyzyxwv", "Quentinia", "PID-998877", "unmistakable words of a query")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, small_casebook: Path, tmp_path: Path) -> AppTest:
    """The app in a folder of its own that also takes its temporary files."""
    monkeypatch.setattr(sys, "argv", ["app.py", str(small_casebook)])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    st.cache_data.clear()
    st.cache_resource.clear()  # casebooks of tests before would open their indexes here
    return AppTest.from_file(_ROOT / "explorer" / "app" / "main.py", default_timeout=280)


def test_a_query_leaves_no_file_no_log_line_and_no_shared_entry(
    app: AppTest,
    film_folder: Path,
    small_casebook: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    film = (film_folder / "005.png").read_bytes()
    app.run()
    app.file_uploader[0].set_value((f"{_SECRETS[0]}^{_SECRETS[1]} {_SECRETS[2]}.png", film, "image/png")).run()
    app.text_area(key="query_text").set_value(_SECRETS[3]).run()
    app.switch_page("../../pages/explain.py").run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    kept = app.session_state["film"]
    assert isinstance(kept, QueryFilm)
    # The index of reports is opened through links to the casebook's own files, beside an empty lock.
    links = [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert all(path.resolve().is_relative_to(small_casebook.resolve()) for path in links)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path not in links and path.stat().st_size] == []
    written = caplog.text + "".join(capfd.readouterr())
    for entry in _shared_entries():
        written += entry
    for secret in _SECRETS:
        assert secret not in written
        assert secret not in repr({name: app.session_state[name] for name in ("film", "film_error")})
    assert kept.digest not in written


def test_size_and_content_decide_not_the_name(app: AppTest) -> None:
    app.run()
    app.file_uploader[0].set_value(("film.png", b"%PDF-1.7 " + b"x" * 999, "image/png")).run()
    assert "neither DICOM, PNG nor JPEG" in app.error[0].value
    with (_ROOT / "explorer" / "app" / ".streamlit" / "config.toml").open("rb") as stream:
        configured = tomllib.load(stream)["server"]["maxUploadSize"]
    settings = AppSettings((Path(),))
    assert configured == settings.upload_mib == settings.film_limits.max_bytes // MIB


def test_a_film_over_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", state)
    stage_film(b"\x89PNG\r\n\x1a\n" + bytes(MIB), AppSettings((Path(),), upload_mib=1))
    assert "more than the limit of 1,048,576" in state["film_error"]
    assert "film" not in state


def _shared_entries() -> list[str]:
    """Keys and values of every cache that all sessions share, as text."""
    found = []
    for cache in cache_data_api._data_caches._function_caches.get(None, {}).values():
        storage: Any = cache.storage
        found += [f"{key} {value!r} {pickle.loads(value)!r}" for key, value in storage._mem_cache.items()]
    for cache in cache_resource_api._resource_caches._function_caches.get(None, {}).values():
        for key, entry in cache._mem_cache.items():
            found.append(f"{key} {_inside(entry.value)}")
    assert len(found) > 2
    return found


def _inside(entry: Any) -> str:
    """A cached object and, where it is a store of recent results, what that holds."""
    return repr([getattr(one, "_values", one) for one in ([*entry] if isinstance(entry, tuple) else [entry])])
