"""`build --deidentify`: nothing that names a patient is left, in any byte of what is written."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from imaging_samples import codes, dicom
from PIL import Image, PngImagePlugin
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from explorer.cli.commands import app
from index_builder.datasets.own.manifest import Manifest
from index_builder.deidentify import KEY_VARIABLE, Pseudonyms
from index_builder.deidentify.dicom_profile import deidentified_dicom, known_identifiers, read_dicom
from index_builder.deidentify.text import without_identifiers
from index_builder.errors import DatasetError, ImagingError
from index_builder.imaging import decode_film

#: Every identifier that `source` holds anywhere. None may be found in what is built.
SECRETS = (
    "Zyxwvut", "Quentinia", "MRN-7741902", "7741902", "ACC88123", "Elfriede", "Vogelsang", "Haus Sonnenblick",
    "Waldweg 17", "1957-03-12", "19570312", "12.03.1957", "4 May 2019", "+49 761 2031234", "dr.kranz@haus.example",
    "Kranz", "1.2.826.0.1.3680043.8.498.777", "PRIVATE-SECRET", "PREAMBLE-SECRET", "OVERLAY-SECRET", "STATION9X",
    "EXIF-SECRET", "COMMENT-SECRET", "PNGTEXT-SECRET", "NESTED-SECRET", "ward-zyx", "RoomXIV",
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients: DICOM with names everywhere, JPEG with EXIF, PNG with text chunks, reports that repeat it all."""
    root = tmp_path_factory.mktemp("ward-zyx")
    (root / "films").mkdir()
    (root / "films" / "Zyxwvut_Quentinia.dcm").write_bytes(_named_dicom())
    (root / "films" / "burned.dcm").write_bytes(dicom(codes(12), 12, BurnedInAnnotation="YES", PatientName="Zyxwvut"))
    grey = Image.fromarray(codes(8).astype(np.uint8))
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "EXIF-SECRET Quentinia", "Zyxwvut"
    grey.save(root / "films" / "MRN-7741902.jpg", exif=exif, comment=b"COMMENT-SECRET", quality=95)
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("Patient", "PNGTEXT-SECRET Zyxwvut")
    grey.save(root / "films" / "c.png", pnginfo=chunk)
    shared = {"smoker": "yes", "city": "RoomXIV"}
    rows = [
        ("ACC88123", "MRN-7741902", "films/Zyxwvut_Quentinia.dcm", _REPORT, "Cardiomegaly", "94", "F"),
        (
            "ACC88124",
            "MRN-7741902",
            "films/MRN-7741902.jpg",
            "Mrs Zyxwvut again. Heart enlarged.",
            "Effusion",
            "94",
            "F",
        ),
        ("ACC88125", "P2", "films/burned.dcm", "Compare ACC88123 of MRN-7741902.", "", "50", "M"),
        ("ACC88126", "P3", "films/c.png", "Heart normal. T12 fracture, nodule of 3.2 mm.", "Normal", "40", "M"),
        ("ACC88127", "P4", "", "Heart normal in this 94-year-old.", "Normal", "61", "M"),
        ("ACC88128", "P5", "", "Heart and lung normal.", "Normal", "62", "F"),
        ("ACC88129", "P6", "", "Effusion on the left. Heart normal.", "Effusion", "63", "F"),
    ]
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "patient_id", "image", "report", "labels", "age", "sex", "smoker", "city", "born"])
        for number, row in enumerate(rows):
            city = shared["city"] if number == 0 else "Anywhere"
            writer.writerow([*row, shared["smoker"], city, "19570312" if number == 0 else "1960"])
    (root / "columns.yaml").write_text(
        "case_id: case_id\npatient_id: patient_id\nimage: image\nreport: report\nlabels: labels\n"
        "profile: [age, sex, smoker, city, born]\n"
    )
    return root


_REPORT = (
    "QUENTINIA ZYXWVUT, born 12.03.1957 (1957-03-12), MRN 7741902, seen 4 May 2019 at 14:32 in Haus Sonnenblick. "
    "Referred by Dr. Elfriede Vogelsang, call +49 761 2031234 or dr.kranz@haus.example. Large heart, small effusion. "
    "Discussed with Prof. Kranz. Accession ACC88123."
)


def _named_dicom() -> bytes:
    nested = Dataset()
    nested.PatientName, nested.CodeMeaning = "Zyxwvut^NESTED-SECRET", "Chest"
    kept = Dataset()
    kept.CodeValue, kept.CodingSchemeDesignator, kept.CodeMeaning = "R-10202", "SRT", "frontal"
    kept.InstitutionName = "Haus Sonnenblick"
    data = dicom(
        codes(12),
        12,
        PatientName="Zyxwvut^Quentinia",
        PatientID="MRN-7741902",
        PatientBirthDate="19570312",
        PatientAddress="Waldweg 17",
        PatientComments="Quentinia lives at Waldweg 17",
        AccessionNumber="ACC88123",
        InstitutionName="Haus Sonnenblick",
        StationName="STATION9X",
        ReferringPhysicianName="Vogelsang^Elfriede",
        StudyDate="20190504",
        StudyInstanceUID="1.2.826.0.1.3680043.8.498.777",
        StudyDescription="Chest of Zyxwvut",
        RequestAttributesSequence=Sequence([nested]),
        ViewCodeSequence=Sequence([kept]),
        ViewPosition="PA",
    )
    found = dcmread(io.BytesIO(data))
    found.private_block(0x0011, "PRIVATE-SECRET", create=True).add_new(1, "LO", "PRIVATE-SECRET Zyxwvut")
    found.add_new(0x60004000, "LT", "OVERLAY-SECRET")
    found.preamble = b"PREAMBLE-SECRET".ljust(128, b"\0")
    buffer = io.BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def built(source: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Casebook of the de-identified source, by the command line."""
    out = tmp_path_factory.mktemp("out") / "anonymous"
    command = ["build", "--dataset", "manifest", "--root", str(source), "--out", str(out), "--deidentify"]
    app([*command, "--checkpoint", str(tiny_checkpoint)], standalone_mode=False)
    return out


def test_the_source_does_hold_the_identifiers(source: Path) -> None:
    """Otherwise the next test would show nothing."""
    content = "\n".join([str(source), *(text for path in source.rglob("*") for text in _texts(path))])
    assert [secret for secret in SECRETS if secret.casefold() not in content.casefold()] == []


@pytest.mark.parametrize("where", ["casebook", "copy"])
def test_no_identifier_survives_in_any_byte(built: Path, where: str) -> None:
    folder = built if where == "casebook" else built.with_name(f"{built.name}-source")
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert len(paths) > (10 if where == "casebook" else 4)
    for path in paths:
        for text in (path.relative_to(folder).as_posix(), *_texts(path)):
            found = [secret for secret in SECRETS if secret.casefold() in text.casefold()]
            assert not found, f"{path.name}: {found}"


def test_what_matters_is_kept(built: Path, source: Path) -> None:
    copy = Manifest(built.with_name(f"{built.name}-source"))
    cases = copy.cases()
    assert [case.labels for case in cases] == [case.labels for case in Manifest(source).cases()]
    assert set(copy.label_names) == {"Cardiomegaly", "Effusion"}
    first = cases[0]
    assert first.profile["age"] == 90
    assert first.profile["sex"] == "F"
    assert first.profile["smoker"] == "yes"
    assert "city" not in first.profile  # one patient alone has it
    assert "Large heart, small effusion." in first.report
    assert first.patient_id == cases[1].patient_id != cases[2].patient_id
    assert "T12 fracture, nodule of 3.2 mm" in cases[3].report
    assert "90+-year-old" in cases[4].report
    assert cases[2].image is None  # its header says that a name is burned in
    assert {case.split for case in cases} <= {"train", "val", "test"}
    films = source / "films"
    for case, name in zip(
        [first, cases[1], cases[3]], ["Zyxwvut_Quentinia.dcm", "MRN-7741902.jpg", "c.png"], strict=True
    ):
        assert case.image is not None
        original = decode_film((films / name).read_bytes(), name=name)
        np.testing.assert_array_equal(copy.load_film(case.image).pixels, original.pixels)


def test_dicom_copy_says_what_was_done_and_keeps_what_the_profile_keeps(source: Path) -> None:
    found = read_dicom((source / "films" / "Zyxwvut_Quentinia.dcm").read_bytes(), "film")
    pseudonyms = Pseudonyms(b"k" * 32)
    assert {"Zyxwvut", "Quentinia", "MRN-7741902", "ACC88123"} <= known_identifiers(found)
    again = dcmread(io.BytesIO(deidentified_dicom(found, "film", "patient-x", pseudonyms)))
    assert again.PatientIdentityRemoved == "YES"
    assert again.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert again.PatientID == "patient-x"
    assert again.ViewPosition == "PA"
    assert again.ViewCodeSequence[0].CodeMeaning == "frontal"
    assert again.StudyInstanceUID == pseudonyms.uid("1.2.826.0.1.3680043.8.498.777")
    assert not [element for element in again.iterall() if element.is_private]


def test_pseudonyms_are_stable_for_one_key_and_unlike_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = Pseudonyms(b"a" * 32), Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert one.name("case", "7") == same.name("case", "7") != other.name("case", "7")
    assert one.name("case", "7") != one.name("patient", "7").replace("patient", "case")
    assert re.fullmatch(r"case-[a-z2-7]{16}", one.name("case", "7"))
    assert len(one.uid("1.2.3")) <= 64
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert Pseudonyms.from_environment().name("case", "7") != Pseudonyms.from_environment().name("case", "7")
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(DatasetError, match="at least 16"):
        Pseudonyms.from_environment()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Seen on 3/4/2019 and 2019-04-03.", "Seen on [date] and [date]."),
        ("Since March 2018, again 12th of May 2019", "Since [date], again [date]"),
        ("It may be 5 mm; L1 to L5, 3.2 x 4.5 cm, grade 2/3", "It may be 5 mm; L1 to L5, 3.2 x 4.5 cm, grade 2/3"),
        ("Call (761) 203-1234 at 9:15 am.", "Call [number] at [time]"),
        ("Case ID AB123456, nodule 12 mm", "Case ID [number], nodule 12 mm"),
        ("Reported to Dr. Jane Miller by phone", "Reported to [name] by phone"),
        ("doe, JOHN has a small heart", "[removed], [removed] has a small heart"),
        ("Johnson is another word", "Johnson is another word"),
    ],
)
def test_forms_of_identifiers_in_text(text: str, expected: str) -> None:
    assert without_identifiers(text, ["Doe", "John"]) == expected


def test_phantoms_and_existing_copies_are_refused(tmp_path: Path, source: Path) -> None:
    command = ["build", "--dataset", "phantom-openi", "--out", str(tmp_path / "a"), "--deidentify", "--limit", "2"]
    with pytest.raises(DatasetError, match="drawn, not read"):
        app(command, standalone_mode=False)
    (tmp_path / "b-source").mkdir()
    command = ["build", "--dataset", "manifest", "--root", str(source), "--out", str(tmp_path / "b"), "--deidentify"]
    with pytest.raises(DatasetError, match="--replace"):
        app([*command, "--replace"], standalone_mode=False)  # no copy of ours, so it is not replaced either


def test_a_damaged_header_is_refused_without_a_word_of_it() -> None:
    data = dicom(codes(12), 12, PatientName="Zyxwvut^Quentinia", PatientBirthDate="19570312")
    damaged = data.replace(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0US\3\0")
    assert damaged != data
    with pytest.raises(ImagingError) as caught:
        read_dicom(damaged, "film")
    assert str(caught.value) == "film: the DICOM header is damaged. Export or copy the file again."
    assert caught.value.__cause__ is None


def _texts(path: Path) -> Iterator[str]:
    """Everything a file says: its bytes, what a table holds when unpacked, what an image says of itself."""
    if not path.is_file():
        return
    data = path.read_bytes()
    yield data.decode("latin-1")
    yield data.decode("utf-16-le", "ignore")
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield json.dumps({name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()})
        for column in table.columns:
            for value in column.to_pylist():
                yield from _image_texts(value) if isinstance(value, bytes) else [repr(value)]
        assert isinstance(table, pa.Table)
    elif data.startswith((b"\x89PNG", b"\xff\xd8")):
        yield from _image_texts(data)


def _image_texts(data: bytes) -> Iterator[str]:
    yield data.decode("latin-1")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        yield repr({name: value for name, value in image.info.items() if name != "icc_profile"})
        yield repr(dict(image.getexif()))
