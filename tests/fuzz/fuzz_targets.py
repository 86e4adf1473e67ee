"""What each kind of input is given to, and what must hold of the answer. Only `CxrError` may come out."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import fuzz_inputs as inputs
import numpy as np
from fuzz_mutation import Groups, mutated, with_png_sums
from PIL import Image

from explorer.casebook import Casebook
from explorer.search.filters.expression import parse_filter
from explorer.search.profiles import parse_profile
from explorer.search.query import Query, SearchOptions
from explorer.search.search import search_cases
from index_builder.cases.case import SPLITS, Case
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.published import openi
from index_builder.datasets.published.covid import Covid
from index_builder.errors import CxrError
from index_builder.imaging import decode_film, display_png, model_input

#: Kinds, and how many of 10,000 inputs are of each.
SHARES = {
    "dicom": 2500,
    "png": 1250,
    "jpeg": 1250,
    "xml": 1250,
    "table": 1500,
    "parquet": 1000,
    "text": 750,
    "profile": 400,
    "pixels": 100,
}

Input = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of input.

    Attributes:
        made: Inputs made to do harm; they come first.
        drawn: Any number of further ones, by their random numbers.
        check: Gives an input to the code and looks at the answer.
    """

    made: list[Input]
    drawn: Callable[[Random], Any]
    check: Callable[[Any], None]

    def input(self, kind: str, number: int) -> Any:
        """Input `number`, the same in every run."""
        if number < len(self.made):
            return self.made[number]()
        return self.drawn(Random(f"{kind} {number}"))


def target(kind: str, folder: Path, casebook: str, profiles: str) -> Target:
    """A kind's target.

    Args:
        kind: One of `SHARES`.
        folder: Empty folder for files.
        casebook: Searched with texts and films.
        profiles: Searched with profiles.
    """
    if kind in ("dicom", "png", "jpeg"):
        return _films(kind)
    if kind in ("xml", "table", "parquet"):
        for name in ("a.png", "b/c.png", "images/a.png", "images/b.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name)
        return {"xml": _reports, "table": _tables, "parquet": _parquet}[kind](folder)
    opened = Casebook.open(profiles if kind == "profile" else casebook)
    given: dict[str, Any] = {"profile": {"age": 60}} if kind == "profile" else {"text": "effusion"}
    search_cases(opened, Query(np.zeros((64, 64), np.float32), **given))  # loads the system, which is no input's fault
    return _profiles(opened) if kind == "profile" else _queries(kind, opened)


def _drawn_from(seeds: list[bytes], groups: Groups) -> Callable[[Random], bytes]:
    return lambda random: mutated(random.choice(seeds), seeds, groups, random)


def _films(kind: str) -> Target:
    seeds = {"dicom": inputs.dicom_seeds, "png": inputs.png_seeds, "jpeg": inputs.jpeg_seeds}[kind]()
    made = {"dicom": inputs.hostile_dicom, "png": inputs.hostile_png, "jpeg": inputs.hostile_jpeg}[kind]()
    draw = _drawn_from(seeds, inputs.DICOM_WORDS if kind == "dicom" else inputs.PICTURE_WORDS)

    def drawn(random: Random) -> bytes:
        data = draw(random)
        # With wrong checksums nothing behind them would ever be reached.
        return with_png_sums(data) if kind == "png" and random.random() < 0.8 else data

    def check(data: bytes) -> None:
        film = decode_film(data, name="fuzz")
        assert film.pixels.dtype == np.float32
        assert film.pixels.min() >= 0
        assert film.pixels.max() <= 1
        assert np.isfinite(model_input(film.pixels, 224)).all()
        assert display_png(film.pixels, 512)

    return Target(list(made), drawn, check)


def _reports(folder: Path) -> Target:
    openi._read_metadata = functools.cache(openi._read_metadata)  # it is the same for every report
    seeds = inputs.xml_seeds()
    draw = _drawn_from(seeds, inputs.XML_WORDS)
    packed = [inputs.tgz({f"ecgen-radiology/{n}.xml": one for n, one in enumerate(seeds[:3])})]

    def drawn(random: Random) -> tuple[str, bytes]:
        if random.random() < 0.1:
            return "reports.tgz", mutated(packed[0], seeds, inputs.XML_WORDS, random)
        data = draw(random)
        return ("reports.tgz", inputs.tgz({"x/1.xml": data})) if random.random() < 0.1 else ("x/1.xml", data)

    def check(given: tuple[str, bytes]) -> None:
        name, data = given
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        _check_cases(openi.OpenI(reports=path if name.endswith("tgz") else path.parent).cases())

    made: list[Input] = [lambda make=make: ("x/1.xml", make()) for make in inputs.hostile_xml()]
    made += [lambda make=make: ("reports.tgz", make()) for make in inputs.hostile_archives()]
    return Target(made, drawn, check)


def _tables(folder: Path) -> Target:
    manifest = _drawn_from(inputs.manifest_seeds(), inputs.TABLE_WORDS)
    covid = _drawn_from(inputs.covid_seeds(), inputs.TABLE_WORDS)
    lines = _drawn_from(inputs.jsonl_seeds(), inputs.TABLE_WORDS)

    def drawn(random: Random) -> tuple[str, bytes]:
        share = random.random()
        return (
            ("csv", manifest(random))
            if share < 0.4
            else ("covid", covid(random))
            if share < 0.75
            else ("jsonl", lines(random))
        )

    def check(given: tuple[str, bytes]) -> None:
        kind, data = given
        path = folder / ("metadata.csv" if kind == "covid" else f"manifest.{kind}")
        path.write_bytes(data)
        _check_cases(Covid(folder).cases() if kind == "covid" else Manifest(path).cases())

    return Target(list(inputs.hostile_tables()), drawn, check)


def _parquet(folder: Path) -> Target:
    def check(data: bytes) -> None:
        path = folder / "manifest.parquet"
        path.write_bytes(data)
        _check_cases(Manifest(path).cases())

    return Target(list(inputs.hostile_parquet()), _drawn_from(inputs.parquet_seeds(), inputs.PARQUET_WORDS), check)


def _check_cases(cases: Any) -> None:
    """What is read keeps the contract of `Case`."""
    case: Case
    for case in cases:
        assert case.split in SPLITS
        assert all(text and text == text.strip() for text in case.sections.values())
        "".join((case.case_id, case.report, *case.labels, *map(str, case.profile.values()))).encode()


def _queries(kind: str, casebook: Casebook) -> Target:
    reports = [text for text in casebook.column("report")[:50] if text]
    fields = ["label", "age", "sex", "view", "split", "report", "nothing", *inputs.CORNERS]
    signs = ["=", "!=", "<", ">=", "~", ":", "==", "=all(", "=none(", ".."]

    def text(random: Random) -> str:
        letters = list(random.choice(reports))
        for _ in range(random.choice((0, 1, 3, 10))):
            letters.insert(random.randrange(len(letters) + 1), random.choice(inputs.CORNERS))
        return "".join(letters) * random.choice((1, 1, 1, 20, 500))

    def drawn_text(random: Random) -> Any:
        parts = [random.choice((*fields, *signs, *casebook.label_names, "40..60", ",", ")")) for _ in range(4)]
        filters = ["".join(parts)] if random.random() < 0.4 else []
        k = random.choice((5, 5, 5, 1, 200, 0, -1, 10**9))
        return Query(text=text(random), case_id=random.choice((None,) * 9 + ("\0",))), filters, k

    def drawn_pixels(random: Random) -> Any:
        numbers = np.random.default_rng(random.randrange(2**32))
        shape = random.choice(((64, 64), (1, 1), (1, 900), (900, 1), (0, 5), (5,), (3, 8, 8), (500, 400)))
        pixels = numbers.random(shape, np.float32)
        value = random.choice((None, np.nan, np.inf, -np.inf, 1e38, -1e38, -1.0, 2.0))
        if value is not None and pixels.size:
            pixels[numbers.random(shape) < random.choice((0.001, 0.1, 1.0))] = value
        words = random.choice((None, "heart large"))
        return Query(pixels.astype(random.choice((np.float32, np.float64))), words, image_weight=random.random()), [], 5

    def check(given: Any) -> None:
        query, filters, k = given
        options = SearchOptions(k=k, filters=tuple(parse_filter(one) for one in filters))
        result = search_cases(casebook, query, options)
        assert np.isfinite(result.vector).all()
        repr(result.as_dict()).encode()

    made: list[Input] = []
    if kind == "text":
        spaces = ("a" + " " * 200_000, "a=b" + " " * 200_000 + "!", "a=" + "(" * 100_000)
        texts = ("effusion " * 120_000, "," * 1_000_000, "胸" * 1_000_000, "\u0301" * 300_000, *inputs.CORNERS)
        made = [lambda one=one: (Query(text="effusion"), [one], 5) for one in spaces]
        made += [lambda one=one: (Query(text=one), [], 50) for one in texts]
    return Target(made, drawn_text if kind == "text" else drawn_pixels, check)


def _profiles(casebook: Casebook) -> Target:
    names = [field.name for field in casebook.searched_fields]
    values = (0, -1, 57, 2**63, 10**400, float("nan"), float("inf"), 1e308, True, False, None, *inputs.CORNERS)

    def drawn(random: Random) -> Any:
        chosen = random.sample(names, random.randint(1, len(names)))
        if random.random() < 0.5:
            return {name: random.choice(values) for name in chosen}
        parts = (
            f"{name}{random.choice(('=', '=', '=', '==', ''))}{random.choice(values)!s}" for name in _short(chosen)
        )
        return random.choice((",", ", ", ",,")).join(parts)

    def _short(chosen: list[str]) -> Iterator[str]:
        yield from (*chosen, "nothing")[: 1 + len(chosen) // 2]

    def check(given: Any) -> None:
        profile = parse_profile(casebook, given) if isinstance(given, str) else given
        result = search_cases(casebook, Query(profile=profile), SearchOptions(k=3))
        assert np.isfinite(result.vector).all()

    made: list[Input] = [lambda: {names[0]: "x" * 1_000_000}, lambda: "age=" + "9" * 5000, lambda: "," * 1_000_000]
    return Target(made, drawn, check)


def outcome(check: Callable[[Any], None], given: Any) -> str:
    """Whether an input was "taken" or "refused". Anything but `CxrError` escapes."""
    try:
        check(given)
    except CxrError as error:
        str(error).encode(errors="backslashreplace")
        return "refused"
    return "taken"


def scratch_folder() -> Path:
    """A new empty folder."""
    return Path(tempfile.mkdtemp(prefix="cxr-fuzz-"))
