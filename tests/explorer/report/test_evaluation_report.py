"""The report: one file, complete, and nothing in it asks for a network."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from explorer import Casebook
from explorer.charts.measured import of_casebook
from explorer.cli.commands import main
from explorer.report.html import read_sources, report_html, write_report
from explorer.report.pdf import find_chromium, print_pdf
from index_builder.errors import CxrError, QueryError
from index_builder.evaluation.runs import Run


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def html(small_casebook: Path, stage_casebook: Path) -> str:
    return report_html(read_sources([small_casebook, stage_casebook]), quiet)


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    for address in re.findall(r'(?:src|href)="([^"]*)"', markup):
        assert address.startswith(("data:", "#")), address[:80]
    assert not re.findall(r"<link|@import|url\(|<iframe|<object", markup)
    assert not re.findall(r"<script[^>]*\ssrc=", html)
    # plotly.js itself, once.
    assert html.count("plotly.js v") == 1


def test_every_figure_and_table_of_every_modality_is_there(
    html: str, small_casebook: Path, stage_casebook: Path
) -> None:
    titles = re.findall(r"<h4>(.*?)</h4>", html)
    for folder in (small_casebook, stage_casebook):
        for measured in of_casebook(Casebook.open(folder)):
            assert f"Reading the {measured.read_words}" in html
    for title in (
        "Each finding", "ROC", "ROC of every finding", "Precision–recall", "Precision–recall of every finding",
        "Confusion", "Reliability: all findings together", "Reliability: the most probable stage",
        "Risk against coverage", "Retrieval", "Queries among training cases by how well they went",
        "Queries among scored cases by how well they went", "Film to report and back", "Systems and baselines",
        "Labels in each part",
    ):  # fmt: skip
        assert title in titles, title
    figures = html.count("Plotly.newPlot(")
    links = re.findall(r'download="([\w-]+)\.csv" href="data:text/csv;base64,([^"]*)"', html)
    assert figures > 40
    assert len(links) > figures
    for name, data in links:
        assert base64.b64decode(data).decode("utf-8-sig").count("\n") > 1, name
    assert html.count("For education and research, not for diagnosis.") >= 2
    assert "The films are synthetic" in html


def test_names_from_data_are_escaped(small_casebook: Path, tmp_path: Path) -> None:
    casebook = Casebook.open(small_casebook)
    dataset = casebook.manifest.dataset.model_copy(update={"title": "<script>alert(1)</script>"})
    casebook.manifest = casebook.manifest.model_copy(update={"dataset": dataset})
    sources = read_sources([small_casebook])
    html = report_html(type(sources)([casebook], [], []), quiet)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_files_of_figures_and_runs_stand_beside_casebooks(tmp_path: Path, stage_casebook: Path) -> None:
    measured = of_casebook(Casebook.open(stage_casebook))[0]
    figures = tmp_path / "other.json"
    figures.write_text(json.dumps({"system": "other", **measured.result}), "utf-8")
    runs = tmp_path / "runs.jsonl"
    lines = [
        Run(
            system="mskpt", dataset="phantom-dust", variant="full", fraction=share, training_cases=9, seed=0,
            figures={"AP": share},
        ).model_dump_json()
        for share in (0.5, 1)
    ]  # fmt: skip
    runs.write_text("\n".join(lines), "utf-8")
    html = report_html(read_sources([stage_casebook, figures, runs]), quiet)
    assert "other, film" in html
    assert "Learning curve" in html
    alone = report_html(read_sources([figures]), quiet)
    assert "other on phantom-dust" in alone
    assert "Data quality" not in alone


def test_what_makes_no_report_is_refused(tmp_path: Path, stage_casebook: Path) -> None:
    runs = tmp_path / "runs.jsonl"
    for paths, said in (([runs], "unreadable"), ([tmp_path / "gone"], "not a casebook"), ([], "needs a casebook")):
        with pytest.raises(CxrError, match=said):
            read_sources(paths)
    with pytest.raises(QueryError, match="cannot be written"):
        write_report(read_sources([stage_casebook]), tmp_path / "no" / "report.html", quiet)


def test_without_a_browser_there_is_no_pdf_and_a_word_about_it(
    tmp_path: Path, stage_casebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXR_CHROMIUM", str(tmp_path / "none"))
    assert find_chromium() is None
    out = tmp_path / "report.html"
    monkeypatch.setattr("sys.argv", ["cxr-explorer", "report", str(stage_casebook), "--out", str(out), "--pdf"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "--pdf: no Chromium" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr("sys.argv", ["cxr-explorer", "report", str(stage_casebook), "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "no PDF: no Chromium" in capsys.readouterr().out
    assert out.stat().st_size > 4_000_000


def test_a_browser_that_fails_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>x</p>", "utf-8")
    with pytest.raises(QueryError, match="did not print it"):
        print_pdf(Path("/bin/false"), page, tmp_path / "page.pdf")
