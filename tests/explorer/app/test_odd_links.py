"""Odd addresses: ids and names that addresses must quote, filters that no widget holds, casebooks that are damaged."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import APP
from streamlit.testing.v1 import AppTest
from tiny_samples import WORDS

from explorer.search.filters.expression import number_words, parse_filter
from index_builder.build.build import BuildRequest, build

_IDS = (
    "a/b/c",
    "with space",
    "komma,eins",
    "ünïcödé 胸部",
    "quote\"s'",
    "100%",
    "a+b",
    "a&b=c#d",
    "?case=x",
    "<b>bold</b>",
    "**md** $x$ :red[y]",
    "..",
    "-1",
    "x" * 110,
    "\\back`code`",
)
_COLUMNS = ("case_id", "patient_id", "image", "report", "labels")
_PROFILE = ("age", "sex", "operator", "without", "fields", "panel", "acquired", "dose", "site")
Opener = Callable[..., AppTest]


@pytest.fixture(scope="module")
def odd_casebook(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """40 cases with ids, fields and values that addresses and widgets must not mistake for their own."""
    source, random = tmp_path_factory.mktemp("odd"), np.random.default_rng(0)
    with (source / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*_COLUMNS, *_PROFILE])
        for number in range(40):
            pixels = random.integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(source / f"{number}.png")
            writer.writerow(
                [
                    _IDS[number] if number < len(_IDS) else f"case-{number}",
                    f"patient-{number}",
                    f"{number}.png",
                    " ".join(random.choice(WORDS, 9)),
                    ("Cardiomegaly", "Effusion", "No Finding", "Nodule")[number % 4],
                    20 + number,
                    "FM"[number % 2],
                    ("Anna, MTRA", 'Bo "B"', "C..D")[number % 3],
                    ("yes", "no", "maybe")[number % 3],
                    ("first", "second", "=third")[number % 3],
                    ("left", "right")[number % 2],
                    20_190_101 + 37 * number,
                    0.0001234567 * (number + 1),
                    ("north..south", "[x]", "a=b", "1..2")[number % 4],
                ]
            )
    mapping = {name: name for name in _COLUMNS} | {"profile": list(_PROFILE)}
    (source / "columns.json").write_text(json.dumps(mapping), "utf-8")
    out = tmp_path_factory.mktemp("odd-casebook") / "odd & ends=1 #2"
    build(BuildRequest("manifest", source, out, tiny_checkpoint), lambda *_: None)
    return out


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Starts the app on casebooks and gives its session."""

    def start(*folders: Path) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, folders)])
        return AppTest.from_file(APP, default_timeout=120)

    return start


def visit(app: AppTest, page: str, **parameters: str | list[str]) -> dict[str, list[str]]:
    """Open a page by an address; gives the address it has then."""
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in parameters.items():
        app.query_params[name] = value
    app.switch_page(f"../../pages/{page}.py").run()
    assert not app.exception, app.exception[0].value
    found = app.query_params.items()
    return {name: [values] if isinstance(values, str) else list(values) for name, values in found}


def test_ids_that_addresses_quote_lead_to_their_case(opened: Opener, odd_casebook: Path) -> None:
    app = opened(odd_casebook)
    for case_id in _IDS:
        wanted = {"casebook": [odd_casebook.name], "case": [case_id]}
        assert visit(app, "case", **wanted) == wanted
        assert not app.error
        assert "Nearest cases" in [header.value for header in app.header], case_id
    for page, name in (("search", "like"), ("map", "like"), ("map", "case")):
        wanted = {"casebook": [odd_casebook.name], name: [_IDS[7]]}
        assert visit(app, page, **wanted) == wanted
        assert not app.error


@pytest.mark.parametrize(
    "wanted",
    [
        ['operator="Anna, MTRA"'],
        ['operator="Bo ""B"""', "label=Cardiomegaly,Nodule"],
        ['operator="C..D"', "label=all(Cardiomegaly,Nodule)"],
        ["label!=Nodule", "without=yes,maybe"],
        ['fields="=third"'],
        ["panel=left"],
        ["acquired=20190138..20190500"],
        ["dose=0.0002469134..0.0012345670"],
        ['site="north..south","1..2"'],
    ],
)
def test_a_field_of_any_name_and_number_is_filtered_by(opened: Opener, odd_casebook: Path, wanted: list[str]) -> None:
    app = opened(odd_casebook)
    found = visit(app, "search", q="normal heart", filter=wanted)
    assert not app.warning
    assert [parse_filter(one) for one in found["filter"]] == [parse_filter(one) for one in _spelled(wanted)]
    assert visit(app, "map", **found) == found


def _spelled(filters: list[str]) -> list[str]:
    """As the app spells numbers, and in its order: labels first."""
    spelled = [one.replace("0.0012345670", "0.001234567") for one in filters]
    return sorted(spelled, key=lambda one: not one.startswith("label"))


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["age=60..40"], []),
        ([f"age={'9' * 400}.."], []),
        ([f"age=..{'9' * 400}"], []),
        (["age=-5..5"], []),
        (["age=40.2..40.7"], []),
        (["age=40.5..50.5"], ["age=41..50"]),
        (["age=nan..inf"], []),
        (["age=30..50", "age=40..55"], ["age=30..50"]),
        (["label=Nodule", "label=Effusion"], ["label=Nodule"]),
        (["label=Nodule", "label!=Nodule"], ["label=Nodule"]),
        (["label!=Nodule", "label=Nodule,Effusion"], ["label!=Nodule"]),
        (["label=Nodule,Unheard"], []),
        (["sex=F,X"], []),
        (["sex=F,f"], ["sex=F"]),
        (["profile=x", "dust_years=1..2"], []),
    ],
)
def test_what_no_widget_holds_is_told_and_not_half_applied(
    opened: Opener, odd_casebook: Path, asked: list[str], kept: list[str]
) -> None:
    app = opened(odd_casebook)
    found = visit(app, "search", filter=asked)
    assert not app.error
    assert found.get("filter", []) == kept
    told = [one.value for one in app.warning if "were ignored" in one.value]
    assert len(told) == (len(asked) > len(kept))
    assert visit(app, "map", **found) == found


@pytest.mark.parametrize("value", ["1e300", "1e400", "-1e12", "9" * 400, "nan", "inf", "1.5", "x", "٣"])
def test_a_profile_number_is_a_plausible_one(opened: Opener, casebooks: list[Path], value: str) -> None:
    app = opened(*casebooks)
    name = casebooks[1].name
    found = visit(app, "search", casebook=name, **{"profile.age": value})
    assert not app.error
    assert found == ({"casebook": [name], "profile.age": ["3"]} if value == "٣" else {"casebook": [name]})


@pytest.mark.parametrize(
    ("number", "words"), [(5, "5"), (-0.5, "-0.5"), (20190101, "20190101"), (1e-7, "0.0000001"), (3e11, "300000000000")]
)
def test_numbers_are_written_in_full(number: float, words: str) -> None:
    assert number_words(number) == words
    assert float(words) == number


def test_casebooks_of_one_folder_name_stay_apart(opened: Opener, odd_casebook: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / odd_casebook.name
    shutil.copytree(odd_casebook, other)
    app = opened(odd_casebook, other)
    app.run()
    names = app.selectbox(key="casebook").options
    assert len(set(names)) == 2
    for name in names:
        wanted = {"casebook": [name], "case": ["a/b/c"]}
        assert visit(app, "case", **wanted) == wanted


@pytest.mark.parametrize("page", ["search", "case", "explain", "map", "evaluation", "about"])
def test_a_damaged_casebook_keeps_nobody_from_the_others(
    opened: Opener, odd_casebook: Path, casebooks: list[Path], tmp_path: Path, page: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(odd_casebook, damaged)
    (damaged / "cases.arrow").write_bytes(b"nothing")
    app = opened(casebooks[0], damaged, casebooks[2])
    visit(app, page, casebook="small")
    assert not app.error, app.error[0].value
    wanted = {"casebook": ["damaged"], "q": ["nodule"]}
    assert visit(app, page, **wanted) == wanted
    assert [error.value for error in app.error] == [app.error[0].value]
    assert "unreadable" in app.error[0].value
    assert [link.proto.label for link in app.main.get("page_link")] == ["small", "stages"]
    assert visit(app, page, casebook="small")["casebook"] == ["small"]
    assert not app.error
    # From another page: on the page itself an address that it has just had counts as one that the browser sends late.
    visit(app, "about" if page != "about" else "map", casebook="small")
    assert visit(app, page, **wanted) == wanted
    app.selectbox(key="casebook").set_value("stages").run()
    assert not app.error
    assert app.query_params["casebook"] in ("stages", ["stages"])


def test_a_casebook_rebuilt_while_open_drops_what_it_no_longer_has(
    opened: Opener, odd_casebook: Path, small_casebook: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    shutil.copytree(odd_casebook, book)
    app = opened(book)
    filters = ["label=Nodule", "age=21..30", "panel=left"]
    assert visit(app, "search", q="heart", filter=filters)["filter"] == filters
    shutil.rmtree(book)
    shutil.copytree(small_casebook, book)
    app.run()
    assert not app.exception
    assert not app.error, app.error[0].value
    assert app.query_params["filter"] == ["label=Nodule", "age=21..30"]
    assert "panel=left" in app.warning[0].value
