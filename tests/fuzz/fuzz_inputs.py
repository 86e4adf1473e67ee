"""Real files to mutate, words to mutate them with, and files made to do harm."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom.data
from imaging_samples import codes, dicom, lut, picture, png_chunk, png_header
from openi_samples import report_xml, tgz
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from index_builder.datasets import open_dataset

#: Larger ones of pydicom's test files would only make mutation slower.
_MAX_SEED = 200_000
_MEGABYTE = 2**20

#: Texts at the corners of Unicode and of parsers.
CORNERS = (
    "",
    " ",
    "\0",
    "\ufeff",
    "\u200b\u200d",
    "\u202e right to left",
    "é́́́" * 50,
    "\U0001f9d1\u200d\u2695\ufe0f",
    "\ud800",
    "İıſß",
    "胸部X線",
    "٣٤",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "NaN",
    "inf",
    "-0",
    "1e999",
    "9" * 400,
    "../../etc/passwd",
    "a" * 300,
    "\x1b[31m",
)

DICOM_WORDS = (
    (b"MONOCHROME1 ", b"MONOCHROME2 ", b"RGB ", b"YBR_FULL", b"YBR_FULL_422", b"PALETTE COLOR ", b"YBR_ICT ", b"XYZ "),
    (
        b"1.2.840.10008.1.2\0",
        b"1.2.840.10008.1.2.1\0",
        b"1.2.840.10008.1.2.1.99",
        b"1.2.840.10008.1.2.2\0",
        b"1.2.840.10008.1.2.4.50",
        b"1.2.840.10008.1.2.4.51",
        b"1.2.840.10008.1.2.4.70",
        b"1.2.840.10008.1.2.4.80",
        b"1.2.840.10008.1.2.4.90",
        b"1.2.840.10008.1.2.5\0",
    ),
    (b"US", b"SS", b"DS", b"IS", b"OB", b"OW", b"SQ", b"UN", b"UT", b"CS", b"LO", b"\0\0"),
    (b"LINEAR", b"SIGMOID ", b"LINEAR_EXACT", b"IDENTITY", b"INVERSE "),
    (b"nan ", b"inf ", b"-1e308", b"1e308 ", b"0 ", b"1\\2\\3 ", b"DOE^JOHN", b"1_000 ", b"\xff\xff"),
    (b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xff\xff\xff\xff"),
)
PICTURE_WORDS = (
    (
        b"\xff\xda",
        b"\xff\xc0",
        b"\xff\xc2",
        b"\xff\xc4",
        b"\xff\xdb",
        b"\xff\xd9",
        b"\xff\xe1",
        b"\xff\xee",
        b"\xff\xdd",
    ),
    (b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"acTL", b"fdAT", b"eXIf", b"IEND", b"gAMA"),
    (b"Exif\0\0", b"II*\0", b"MM\0*", b"Adobe", b"JFIF"),
    (png_chunk(b"IDAT", b""), png_chunk(b"IEND", b""), png_chunk(b"acTL", bytes(8)), png_chunk(b"tRNS", b"\0\0")),
)
XML_WORDS = (
    (
        b"<AbstractText",
        b"</AbstractText>",
        b"<uId",
        b"<major>",
        b"</major>",
        b"<parentImage",
        b"<!--",
        b"-->",
        b"<![CDATA[",
    ),
    (b'Label="FINDINGS"', b'Label="IMPRESSION"', b'Label=""', b'id="CXR1"', b'id="CXR999999999"', b'id="CXR-1"'),
    (b"&amp;", b"&#0;", b"&#x10FFFF;", b"&#xD800;", b"&unknown;", b'<!DOCTYPE a [<!ENTITY b "c">]>', b"<?xml"),
    (
        b'encoding="utf-8"',
        b'encoding="utf-16"',
        b'encoding="ascii"',
        b'encoding="cp1252"',
        b'encoding="nope"',
        b"\xff\xfe",
    ),
    tuple(text.encode(errors="surrogatepass") for text in CORNERS if text),
)
TABLE_WORDS = (
    (b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\\"),
    (
        b"case_id",
        b"patient_id",
        b"image",
        b"report",
        b"labels",
        b"age",
        b"sex",
        b"view",
        b"split",
        b"finding",
        b"filename",
    ),
    (
        b"a.png",
        b"../a.png",
        b"/etc/passwd",
        b"C:\\a.png",
        b"images/a.png",
        b"todo",
        b"train",
        b"val",
        b"Normal",
        b"060Y",
    ),
    (b"{", b"}", b"[", b"]", b"null", b"true", b"1e999", b"NaN", b'{"a":{"b":[1]}}', b"[[[[[[[[]]]]]]]]"),
    tuple(text.encode(errors="surrogatepass") for text in CORNERS if text),
)
PARQUET_WORDS = (
    (b"PAR1", b"PARE", b"\x15\x00", b"\x15\x02", b"\x15\x04", b"\x19\x1c", b"\x00", b"\xff\xff\xff\x7f"),
    (b"report", b"image", b"labels", b"age", b"schema", b"ARROW:schema", b"pandas", b"UTC"),
)


@cache
def _phantoms() -> list[np.ndarray]:
    """Three drawn films, uint8, reduced so that a mutation takes milliseconds."""
    dataset = open_dataset("phantom-openi", None, 0)
    films = []
    for case in dataset.cases()[:3]:
        film = Image.fromarray((dataset.load_film(str(case.image)).pixels * 255).astype(np.uint8))
        film.thumbnail((160, 160))
        films.append(np.asarray(film))
    return films


def dicom_seeds() -> list[bytes]:
    """Films in every transfer syntax that this project's tests make, and pydicom's own test files."""
    made = [
        dicom(codes(12), 12),
        dicom(codes(12), 12, PhotometricInterpretation="MONOCHROME1", WindowCenter="2000", WindowWidth="900"),
        dicom(codes(12), 12, VOILUTSequence=lut(np.arange(4096), 0, 12), RescaleSlope=2, RescaleIntercept=-100),
        dicom(codes(8), 8, allocated=8, NumberOfFrames=1, PixelPaddingValue=0),
        dicom(np.stack([codes(8)] * 3, -1), 8, allocated=8),
        *(
            dicom(codes(12), 12, syntax=syntax)
            for syntax in (
                ImplicitVRLittleEndian,
                ExplicitVRBigEndian,
                DeflatedExplicitVRLittleEndian,
                RLELossless,
                JPEG2000Lossless,
            )
        ),
        dicom(codes(12), 12, meta=False),
    ]
    folder = Path(pydicom.data.__file__).parent / "test_files"
    theirs = [path.read_bytes() for path in sorted(folder.glob("*.dcm")) if path.stat().st_size <= _MAX_SEED]
    return made + theirs


def png_seeds() -> list[bytes]:
    """Drawn films as PNG of every kind."""
    films = _phantoms()
    deep = films[0].astype(np.uint16) * 257
    colour = Image.fromarray(films[1]).convert("RGB")
    alpha = Image.merge("LA", [Image.fromarray(films[2])] * 2)
    frames = io.BytesIO()
    colour.save(frames, "PNG", save_all=True, append_images=[colour.rotate(90)])
    return [
        *(picture(film) for film in films),
        picture(deep),
        picture(colour),
        picture(colour.convert("P")),
        picture(alpha),
        picture(colour.convert("1")),
        picture(colour, exif=_exif(6)),
        frames.getvalue(),
    ]


def jpeg_seeds() -> list[bytes]:
    """Drawn films as JPEG of every kind."""
    films = _phantoms()
    colour = Image.fromarray(films[1]).convert("RGB")
    return [
        *(picture(film, "JPEG") for film in films),
        picture(films[0], "JPEG", progressive=True),
        picture(colour, "JPEG", subsampling=2, restart_marker_rows=1),
        picture(colour.convert("CMYK"), "JPEG"),
        picture(colour, "JPEG", exif=_exif(3), progressive=True),
    ]


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xml_seeds() -> list[bytes]:
    """Published Open-i reports."""
    return list(report_xml(*range(1, 25)).values())


def manifest_seeds() -> list[bytes]:
    """Manifests as CSV."""
    header = ["case_id", "patient_id", "image", "report", "labels", "age", "sex", "view", "split"]
    rows = [
        ["1", "p1", "a.png", "Heart size normal, lungs clear.", "Normal", "63", "F", "PA", "train"],
        ["2", "p2", "", "Left pleural effusion; no pneumothorax.", "Effusion|Nodule", "060Y", "M", "AP", "val"],
        ["3", "p3", "b/c.png", 'Said "unchanged".\nSecond line.', "", "", "", "", "test"],
    ]
    return [
        _csv([header, *rows]),
        _csv([header, *rows], ";"),
        _csv([[*header, "hospital"], *([*row, "A"] for row in rows)]),
    ]


def covid_seeds() -> list[bytes]:
    """`metadata.csv` of the COVID-19 image data collection, shortened."""
    header = "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,went_icu,view,modality,date,location,"
    header += "filename,doi,url,license,clinical_notes,other_notes,temperature,pO2_saturation,lymphocyte_count"
    rows = [
        "2,0,M,65,Pneumonia/Viral/COVID-19,Y,Y,N,N,PA,X-ray,2020,Spain,a.png,10.1/x,https://e.org,BY,Cough.,,38.5,88,0.6",
        "3,5,F,,Pneumonia,,,,,AP Supine,X-ray,,,a.png,,,,,,,,",
        "4,,M,40,No Finding,N,Y,N,N,L,X-ray,,,b.png,,,,,,,,",
        "5,,M,40,todo,N,Y,N,N,Axial,CT,,,c.png,,,,,,,,",
    ]
    return ["\n".join([header, *rows]).encode(), "\r\n".join([header, *reversed(rows)]).encode()]


def jsonl_seeds() -> list[bytes]:
    """Manifests as JSON lines."""
    rows = [
        {"case_id": "1", "image": "a.png", "report": "Clear.", "labels": ["Normal"], "age": 63},
        {"case_id": 2, "report": "Effusion.\nNodule.", "labels": "Effusion|Nodule", "extra": {"a": [1, 2.5, None]}},
    ]
    return ["\n".join(map(json.dumps, rows)).encode(), json.dumps(rows[1], ensure_ascii=False).encode()]


def parquet_seeds() -> list[bytes]:
    """Manifests as Parquet, in several types and compressions."""
    table = pa.table(
        {
            "case_id": ["1", "2", "3"],
            "image": ["a.png", None, ""],
            "report": ["Clear.", "Effusion.", "Heart large."],
            "labels": [["Normal"], [], None],
            "age": [63.0, float("nan"), None],
            "seen": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
            "raw": pa.array([b"a", b"", None], pa.binary()),
            "more": pa.array([{"a": 1}, None, {"a": 2}], pa.struct([("a", pa.int8())])),
        }
    )
    slim = table.select(["case_id", "report"])
    return [
        _parquet(table),
        _parquet(table, compression="zstd", version="1.0"),
        _parquet(slim, compression="none", use_dictionary=False),
        _parquet(slim, compression="gzip", data_page_version="2.0"),
        _parquet(slim, store_schema=False, column_encoding={"report": "DELTA_BYTE_ARRAY"}, use_dictionary=False),
    ]


def _csv(rows: list[list[str]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def _parquet(table: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def hostile_dicom() -> Iterator[Callable[[], bytes]]:
    """Sizes, counts and nesting that a decoder must refuse, and the largest film that it must take."""
    yield lambda: dicom(codes(12), 12, Rows=65535, Columns=65535)
    yield lambda: dicom(codes(12), 12, Rows=0, Columns=0)
    yield lambda: dicom(codes(12), 12, RescaleSlope=float("nan"), RescaleIntercept=0)
    yield lambda: _implicit(b"1\\" * 15_000_000)
    yield lambda: _implicit(extra=b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000, sequence=True)
    yield lambda: _implicit(extra=b"\x29\0\1\0\0\0\0\0" * 4_000_000)
    yield lambda: _implicit(extra=(b"\x40\0\x75\x02\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * 3000)
    yield lambda: _many_fragments(dicom(codes(12), 12, syntax=RLELossless))
    yield lambda: dicom(np.zeros((4000, 4000, 3), np.uint16), 16, syntax=RLELossless)
    yield lambda: dicom(np.zeros((20_000_000, 1), np.uint16), 12, Rows=1, Columns=40_000)


def hostile_png() -> Iterator[Callable[[], bytes]]:
    """Bombs, strips, and the largest film that must be taken."""
    yield lambda: png_header(60_000, 60_000) + png_chunk(b"IDAT", bytes(99))
    yield lambda: png_header(0, 0) + png_chunk(b"IDAT", bytes(99))
    yield lambda: picture(np.zeros((30_000, 1), np.uint8))
    yield lambda: picture(np.zeros((1, 19_999), np.uint8))
    yield lambda: picture(Image.new("RGB", (7000, 7000), (1, 200, 3)), compress_level=1)
    yield (
        lambda: png_header(10, 10) + png_chunk(b"zTXt", b"a\0\0" + _deflated(200 * _MEGABYTE)) + png_chunk(b"IEND", b"")
    )
    yield lambda: png_header(10, 10) + png_chunk(b"IDAT", _deflated(200 * _MEGABYTE)) + png_chunk(b"IEND", b"")
    yield lambda: png_header(10, 10) + png_chunk(b"tEXt", b"a\0b") * 200_000


def hostile_jpeg() -> Iterator[Callable[[], bytes]]:
    """Sizes without content, many scans and markers."""
    yield lambda: b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65000, 65000, 1) + b"\1\x11\0"
    yield lambda: picture(codes(8).astype(np.uint8), "JPEG") + b"\xff\xda" * 10_000
    yield lambda: picture(Image.new("CMYK", (5000, 5000), (1, 200, 30, 4)), "JPEG")
    yield lambda: b"\xff\xd8" + b"\xff\xe1\0\x08Exif\0\0" * 100_000 + b"\xff\xd9"
    yield lambda: b"\xff\xd8" + b"\xff" * 5_000_000


def hostile_xml() -> Iterator[Callable[[], bytes]]:
    """Entities, nesting and a megabyte of text."""
    start, end = b'<eCitation><uId id="CXR1"/>', b"</eCitation>"
    abstract, close = b"<MedlineCitation><Article><Abstract>", b"</Abstract></Article></MedlineCitation>"
    one = b'<AbstractText Label="FINDINGS">'
    lol = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    yield lambda: lol + b"]><eCitation>&j;</eCitation>"
    yield lambda: b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><eCitation>&a;</eCitation>'
    yield lambda: start + abstract + (one + b"x") * 20_000 + b"</AbstractText>" * 20_000 + close + end
    yield lambda: start + abstract + (one + b"no effusion. </AbstractText>") * 15_000 + close + end
    yield (
        lambda: start + abstract + one + "胸部 effusion\U0001fac1 ".encode() * 40_000 + b"</AbstractText>" + close + end
    )
    yield lambda: start + b"<a>" * 140_000 + b"</a>" * 140_000 + end
    yield lambda: start + b"<MeSH>" + b"<major>Opacity/lung/base/left</major>" * 25_000 + b"</MeSH>" + end


def hostile_archives() -> Iterator[Callable[[], bytes]]:
    """Archives of reports that unpack to far more than they hold."""
    name = tarfile.TarInfo("x")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 900_000_000
    yield lambda: gzip.compress(name.tobuf() + bytes(300 * _MEGABYTE), 1)
    yield lambda: tgz({f"ecgen-radiology/{n}.xml": b"<a/>" for n in range(300)})
    yield lambda: gzip.compress(b"not a tar" * 1000)


def hostile_tables() -> Iterator[Callable[[], tuple[str, bytes]]]:
    """Tables of many columns, fields or characters; with the ending that says their format."""
    yield lambda: ("csv", b"id,text," + b",".join(b"c%d" % n for n in range(60_000)) + b"\na,b" + b"," * 60_000)
    yield lambda: ("csv", b"id,text\na,b" + b",xyz" * 4_000_000)
    yield lambda: ("csv", b'id,text\na,"' + b"b\n" * 5_000_000)
    yield lambda: ("csv", b"id,text\na,b" + b',"b\n"' * 3_000_000)
    yield lambda: ("csv", b"id,text\na," + "胸 effusion ".encode() * 60_000)
    yield lambda: ("csv", b"id,text\n" + b"a,\xff\n" * 50_000)
    yield lambda: ("csv", b"id,text," + b",".join(b"c%d" % n for n in range(5_000)) + b"\na,b" + b",\xff" * 5_000)
    yield lambda: ("jsonl", b"\n".join(b'{"text":"a","k%d":1}' % n for n in range(15_000)))
    yield lambda: ("jsonl", b'{"text":[' + b"11," * 6_000_000 + b"1]}")
    yield lambda: ("jsonl", b'{"text":' + b"[" * 200_000)
    yield lambda: ("jsonl", b'{"text":' + b"9" * 500_000 + b"}")


def hostile_parquet() -> Iterator[Callable[[], bytes]]:
    """Repeated texts, unknown time zones, names with dots, deep types."""
    long = pa.array(["x" * 500_000])
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), long)
    yield lambda: _parquet(pa.table({"text": repeated}), compression="zstd")
    texts = ["x" * 1_100_000] * 260
    yield lambda: _parquet(pa.table({"text": texts}), use_dictionary=False, compression="zstd", row_group_size=16)
    yield lambda: _parquet(pa.table({"text": pa.nulls(20_000_000, pa.string())}))
    yield lambda: _parquet(pa.table({"text": ["a"], "when": pa.array([1], pa.timestamp("us", tz="Mars/Olympus"))}))
    yield lambda: _parquet(pa.table({"text": ["a"], "when": pa.array([2**62], pa.timestamp("ms"))}))
    yield lambda: _parquet(pa.table({"text": ["a"], "for": pa.array([2**62], pa.duration("us"))}))
    yield lambda: _parquet(pa.table({"text": ["a"], "a.b": ["1"], "a": ["2"]}))
    yield lambda: _parquet(
        pa.table({"text": ["a"], "map": pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string()))})
    )
    yield lambda: _parquet(pa.table({"text": ["a"], "deep": pa.array([None], _nested(60))}))


def _nested(depth: int) -> pa.DataType:
    kind: pa.DataType = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def _implicit(window: bytes = b"2 ", extra: bytes = b"", *, sequence: bool = False) -> bytes:
    """An implicit VR film with an element of any length, and whatever else before its pixels."""

    def element(tag: int, value: bytes, length: int | None = None) -> bytes:
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value

    shorts = {
        0x00280002: 1,
        0x00280010: 64,
        0x00280011: 64,
        0x00280100: 16,
        0x00280101: 12,
        0x00280102: 11,
        0x00280103: 0,
    }
    head = element(0x00080060, b"CR")
    if sequence:
        extra = element(0x00081140, extra + b"\xfe\xff\xdd\xe0\0\0\0\0", 0xFFFFFFFF)
    body = b"".join(element(tag, struct.pack("<H", value)) for tag, value in shorts.items())
    words = element(0x00280004, b"MONOCHROME2 ") + element(0x00281050, window) + element(0x00281051, window)
    return head + extra + body + words + element(0x7FE00010, bytes(2 * 64 * 64))


def _many_fragments(compressed: bytes) -> bytes:
    at = compressed.index(b"\xfe\xff\x00\xe0")
    return compressed[:at] + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000 + compressed[at:]


def _deflated(size: int) -> bytes:
    import zlib

    return zlib.compress(bytes(size), 1)
