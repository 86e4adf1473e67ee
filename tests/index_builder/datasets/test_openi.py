from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from openi_samples import dicom_film, packaged_reports, png_film, report_xml, tgz
from table_samples import sample

from index_builder.cases.case import SPLITS
from index_builder.datasets.published import openi_reports
from index_builder.datasets.published.openi import OpenI, film_key, films_by_report
from index_builder.errors import DatasetError, ImagingError


@pytest.fixture(scope="module")
def cases():
    return OpenI().cases()


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Folder of eight real reports."""
    folder = tmp_path / "data" / "ecgen-radiology"
    folder.mkdir(parents=True)
    for name, content in report_xml(1, 2, 3, 4, 5, 10, 1000, 3999).items():
        (tmp_path / "data" / name).write_bytes(content)
    return folder


def by_id(dataset: OpenI):
    return {case.case_id: case for case in dataset.cases()}


def test_packaged_reports_are_read_without_torch_in_four_seconds():
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from index_builder.datasets.published.openi import OpenI\n"
        "cases = OpenI().cases()\n"
        "assert not {'torch', 'torchvision', 'torchxrayvision'} & set(sys.modules)\n"
        "print(len(cases), time.perf_counter() - start)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, seconds = out.stdout.split()
    assert int(count) == 3955
    assert float(seconds) < 4


def test_cases_are_unique_ordered_and_text_only_without_a_film_folder(cases):
    numbers = [int(case.case_id[3:]) for case in cases]
    assert numbers == sorted(set(numbers))
    assert cases[0].case_id == "CXR1"
    assert all(case.patient_id == case.case_id for case in cases)
    assert all(case.image is None and not case.other_images and case.view is None for case in cases)
    assert not any(case.synthetic for case in cases)


def test_sections_codes_and_age_of_the_first_report(cases):
    first = cases[0]
    assert list(first.sections) == ["comparison", "indication", "findings", "impression"]
    assert first.sections["indication"] == "Positive TB test"
    assert first.sections["impression"] == "Normal chest x-XXXX."
    assert (first.codes, first.labels) == (("normal",), ("Normal",))
    assert first.profile == {"age": 23}
    assert OpenI().automatic_terms("CXR2") == ("sternotomy",)


def test_sections_are_tidy_and_never_empty(cases):
    names = Counter(name for case in cases for name in case.sections)
    assert names == {"impression": 3921, "indication": 3865, "findings": 3425, "comparison": 3333}
    for case in cases:
        assert all(text and text == " ".join(text.split()) for text in case.sections.values())


def test_age_agrees_with_every_age_written_out(cases):
    written = [
        (int(match[1]), case.profile["age"])
        for case in cases
        if "age" in case.profile
        for match in [re.search(r"(?<!\w)(\d\d)(?:yo[fm]\b|(?<=ale, \d\d) years)", case.sections.get("indication", ""))]
        if match
    ]
    assert len(written) == 8
    assert all(told == derived for told, derived in written)
    assert sum("age" in case.profile for case in cases) == 3851


def test_no_report_text_is_in_two_splits(cases):
    splits = defaultdict(set)
    for case in cases:
        words = re.findall(r"[a-z0-9]+", case.report.lower().replace("xxxx", " "))
        splits[" ".join(words) or case.case_id].add(case.split)
    assert len(splits) < len(cases)
    assert all(len(found) == 1 for found in splits.values())
    shares = {split: sum(case.split == split for case in cases) / len(cases) for split in SPLITS}
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["val"] == pytest.approx(0.1, abs=0.03)


def test_splits_do_not_depend_on_what_else_is_read(cases, reports):
    known = {case.case_id: case.split for case in cases}
    assert all(known[case.case_id] == case.split for case in OpenI(reports=reports).cases())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CXR1_1_IM-0001-3001", "1_IM-0001-3001"),
        ("CXR1_IM-0001-3001", "1_IM-0001-3001"),
        ("1_IM-0001-3001", "1_IM-0001-3001"),
        ("cxr1021_im-0017-1001-0001", "1021_IM-0017-1001-0001"),
        ("CXR_IM-1", ""),
        ("README", ""),
        ("../1_IM-0001-3001", ""),
    ],
)
def test_film_key(name, key):
    assert film_key(name) == key


def test_every_published_film_has_its_own_key():
    films = [film for names in films_by_report(packaged_reports()).values() for film in names]
    assert len({film_key(film) for film in films} - {""}) == len(films) == 7470


def test_png_films_frontal_first(reports):
    root = reports.parent
    for seed, name in enumerate(("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR10_IM-0002-1001")):
        (root / f"{name}.png").write_bytes(png_film(seed))
    found = by_id(OpenI(root))
    assert set(found) == {f"CXR{number}" for number in (1, 2, 3, 4, 5, 10, 1000, 3999)}
    # the first film of report 1 clusters with the laterals although it is published first or second
    assert set(found["CXR1"].other_images) | {found["CXR1"].image} == {
        "CXR1_1_IM-0001-3001.png",
        "CXR1_1_IM-0001-4001.png",
    }
    assert found["CXR1"].image == "CXR1_1_IM-0001-4001.png"
    assert found["CXR1"].view == "PA"
    assert found["CXR2"].image is None
    assert found["CXR2"].sections["findings"]


def test_only_laterals_present_is_said(reports):
    (reports.parent / "CXR10_IM-0002-1001.png").write_bytes(png_film(0))
    case = by_id(OpenI(reports.parent))["CXR10"]
    assert (case.image, case.view) == ("CXR10_IM-0002-1001.png", "LATERAL")


def test_dicom_layout_at_any_depth_and_preferred_to_png(reports):
    root = reports.parent
    folder = root / "dicom" / "1000"
    folder.mkdir(parents=True)
    (folder / "1000_IM-0003-2001.dcm").write_bytes(dicom_film(1))
    (folder / "1000_IM-0003-1001.dcm").write_bytes(dicom_film(2))
    (root / "CXR1000_IM-0003-1001.png").write_bytes(png_film(2))
    (root / "notes.png").write_bytes(png_film(3))
    dataset = OpenI(root)
    case = by_id(dataset)["CXR1000"]
    assert case.image == "dicom/1000/1000_IM-0003-1001.dcm"
    assert case.other_images == ("dicom/1000/1000_IM-0003-2001.dcm",)
    film = dataset.load_film(case.image)
    assert film.pixels.shape == (48, 48)
    assert film.pixels.dtype == np.float32


@pytest.mark.parametrize(
    ("forms", "chosen"),
    [((".jpg",), ".jpg"), ((".jpeg", ".jpg"), ".jpg"), ((".jpg", ".png"), ".png"), ((".JPG", ".dcm", ".png"), ".dcm")],
)
def test_jpeg_films_count_and_the_best_form_of_a_film_is_used(reports, forms, chosen):
    for form in forms:
        (reports.parent / f"CXR10_IM-0002-2001{form}").touch()
    case = by_id(OpenI(reports.parent))["CXR10"]
    assert (case.image, case.other_images) == (f"CXR10_IM-0002-2001{chosen}", ())


def test_real_jpeg_films_match_their_reports(cases):
    """Film ids, reports and parts are those of the reports alone."""
    with_films = OpenI(sample("openi_films")).cases()
    assert [(case.case_id, case.split) for case in with_films] == [(case.case_id, case.split) for case in cases]
    present = [case for case in with_films if case.image]
    assert len(present) == 3437
    assert sum(1 + len(case.other_images) for case in present) == 6671
    assert Counter(case.view for case in present) == {"PA": 2817, "AP": 310, None: 165, "LATERAL": 145}


@pytest.mark.parametrize(
    ("name", "quarters"),
    [("CXR994_IM-2478-1001.png", 3), ("994_IM-2478-1001.dcm.png", 3), ("CXR1285_IM-0188-0001.png", 2)],
)
def test_films_published_turned_are_hung_upright(reports, tmp_path, name, quarters):
    films = tmp_path / "films"
    films.mkdir()
    for film in (name, "CXR1339_IM-0218-1001.png"):
        (films / film).write_bytes(png_film(7))
    dataset = OpenI(films, reports=reports)
    as_published = dataset.load_film("CXR1339_IM-0218-1001.png")
    film = dataset.load_film(name)
    np.testing.assert_array_equal(film.pixels, np.rot90(as_published.pixels, quarters))
    assert film.notes[-1] == "published turned, hung upright"
    assert "published turned, hung upright" not in as_published.notes


def test_load_film_decodes_png_and_stays_in_its_folder(reports, tmp_path):
    root = reports.parent
    (root / "CXR10_IM-0002-2001.png").write_bytes(png_film(4))
    (tmp_path / "outside.png").write_bytes(png_film(5))
    (root / "broken_IM-1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    dataset = OpenI(root)
    film = dataset.load_film("CXR10_IM-0002-2001.png")
    assert film.pixels.shape == (48, 48)
    assert 0 <= film.pixels.min() <= film.pixels.max() <= 1
    for reference in ("../outside.png", str(tmp_path / "outside.png")):
        with pytest.raises(ImagingError, match="outside"):
            dataset.load_film(reference)
    with pytest.raises(ImagingError, match=r"broken_IM-1\.png"):
        dataset.load_film("broken_IM-1.png")
    with pytest.raises(ImagingError, match="CXR9_IM-1"):
        dataset.load_film("CXR9_IM-1.png")
    with pytest.raises(ImagingError, match="without a film folder"):
        OpenI().load_film("CXR1_1_IM-0001-3001.png")


def test_views_with_all_films_present(tmp_path, monkeypatch):
    """Empty files suffice: `cases` reads no pixels."""
    for names in films_by_report(packaged_reports()).values():
        for name in names:
            (tmp_path / f"{name}.png").touch()
    start = time.perf_counter()
    with_films = OpenI(tmp_path).cases()
    assert time.perf_counter() - start < 6
    views = Counter(case.view for case in with_films if case.image)
    assert sum(views.values()) == 3851
    assert sum(1 + len(case.other_images) for case in with_films if case.image) == 7470
    assert views["PA"] > 3000
    assert views["LATERAL"] == 166  # reports whose every published film is lateral
    for case in with_films:
        assert case.image not in case.other_images


def test_reports_archive_in_root_and_given_by_hand(reports, tmp_path):
    archive = tmp_path / "NLMCXR_reports.tgz"
    archive.write_bytes(tgz(report_xml(7, 8)))
    assert set(by_id(OpenI(tmp_path))) == {"CXR7", "CXR8"}
    assert set(by_id(OpenI(reports=archive))) == {"CXR7", "CXR8"}
    assert len(OpenI(tmp_path, reports=reports).cases()) == 8


def test_missing_sources_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"absent does not exist.*cxr-explorer fetch openi"):
        OpenI(tmp_path / "absent")
    with pytest.raises(DatasetError, match=r"neither reports nor a film"):
        OpenI(tmp_path)
    with pytest.raises(DatasetError, match=r"nowhere do not exist"):
        OpenI(reports=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no report XML"):
        OpenI(reports=tmp_path / "empty").cases()
    with pytest.raises(DatasetError, match="CXR1x"):
        OpenI().automatic_terms("CXR1x")


BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><eCitation><uId id='CXR1'/>&b;</eCitation>"


@pytest.mark.parametrize(
    "content",
    [b"", b"<eCitation>", b"\x00\xff", BOMB, b"<eCitation/>", b"<eCitation><uId id='../../x'/></eCitation>"],
    ids=["empty", "unclosed", "binary", "entities", "no id", "odd id"],
)
def test_malformed_report_names_file(reports, content):
    (reports / "4.xml").write_bytes(content)
    with pytest.raises(DatasetError, match=r"4\.xml"):
        OpenI(reports=reports).cases()
    archive = reports.parent / "bad.tgz"
    archive.write_bytes(tgz({"ecgen-radiology/4.xml": content}))
    with pytest.raises(DatasetError, match=r"bad\.tgz:ecgen-radiology/4\.xml"):
        OpenI(reports=archive).cases()


def test_a_report_twice_is_refused(reports):
    (reports / "copy.xml").write_bytes((reports / "5.xml").read_bytes())
    with pytest.raises(DatasetError, match="CXR5 twice"):
        OpenI(reports=reports).cases()


def test_size_limits(reports, monkeypatch):
    archive = reports.parent / "r.tgz"
    archive.write_bytes(tgz(report_xml(1, 2)))
    monkeypatch.setattr(openi_reports, "MAX_REPORT_BYTES", 2000)
    for source in (reports, archive):
        with pytest.raises(DatasetError, match="at most 2,000"):
            OpenI(reports=source).cases()
    monkeypatch.setattr(openi_reports, "MAX_REPORT_BYTES", 10**6)
    monkeypatch.setattr(openi_reports, "MAX_REPORTS", 1)
    with pytest.raises(DatasetError, match="over 1 reports"):
        OpenI(reports=archive).cases()
    monkeypatch.setattr(openi_reports, "MAX_ARCHIVE_BYTES", 6000)
    with pytest.raises(DatasetError, match="unpacks to over 6,000"):
        OpenI(reports=archive).cases()


def test_archive_members_are_never_written_and_links_ignored(tmp_path):
    archive = tmp_path / "in" / "evil.tgz"
    archive.parent.mkdir()
    xml = next(iter(report_xml(1).values()))
    archive.write_bytes(tgz({"../../escaped.xml": xml}))
    with tarfile.open(archive, "r:gz") as existing:
        assert existing.getnames()[-1] == "../../escaped.xml"
    assert set(by_id(OpenI(reports=archive))) == {"CXR1"}
    assert list(tmp_path.rglob("*.xml")) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-50], lambda data: b"<html>", lambda data: data[:40] + b"\0" * 99]
)
def test_damaged_archive_is_named(tmp_path, damage):
    archive = tmp_path / "NLMCXR_reports.tgz"
    archive.write_bytes(damage(tgz(report_xml(1, 2, 3))))
    with pytest.raises(DatasetError, match=r"NLMCXR_reports\.tgz"):
        OpenI(reports=archive).cases()


def test_card_says_where_it_comes_from():
    card = OpenI.card
    assert card.name == "openi"
    assert "10.1093/jamia/ocv080" in card.citation
    assert "BY-NC-ND" in card.licence
    assert card.source.startswith("https://openi.nlm.nih.gov")
    assert not card.synthetic
