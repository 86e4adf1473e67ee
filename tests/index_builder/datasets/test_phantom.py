"""Phantom films: determinism, exact masks on the right side, cohorts without leaks."""

from __future__ import annotations

import pickle
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from index_builder.cases.labels import DUST_STAGES, OPENI_LABELS
from index_builder.datasets.phantom import FINDINGS, SITES, ChestSpec, Finding, PhantomDust, PhantomOpenI, render
from index_builder.datasets.phantom.anatomy import build
from index_builder.datasets.phantom.dust_cohort import OCCUPATIONS
from index_builder.datasets.phantom.mesh_codes import NOT_DRAWN, RULES, draw_code, draw_codes, findings_of
from index_builder.datasets.phantom.skeleton import draw_ribs
from index_builder.datasets.published.openi import OpenI
from index_builder.errors import DatasetError, ImagingError

SIZE = 256
#: Findings that have a side. The rest lie on both sides or in the middle.
LATERAL = (
    *("effusion", "pneumothorax", "nodule", "mass", "granuloma", "consolidation", "opacity", "atelectasis", "scar"),
    *("reticulation", "oedema", "congestion", "small opacities", "elevated diaphragm", "hilar enlargement"),
    *("rib fracture", "pleural thickening", "blunted angle", "prominent markings", "node calcification"),
)
#: Drawn by changing the shape of the chest: neighbours change too.
SHAPES = {"emphysema", "hyperinflation", "hypoinflation", "elevated diaphragm"}


@pytest.fixture(scope="module")
def openi() -> PhantomOpenI:
    return PhantomOpenI(seed=3)


@pytest.fixture(scope="module")
def dust() -> PhantomDust:
    return PhantomDust(seed=3, size=2000)


def test_same_seed_same_bytes_other_seed_other_film() -> None:
    spec = ChestSpec(sex="F", age=70, findings=(Finding("effusion", side="left"), Finding("nodule", "upper", "right")))
    first, again, other = render(spec, 11, SIZE), render(spec, 11, SIZE), render(spec, 12, SIZE)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert all(np.array_equal(first.masks[name], again.masks[name]) for name in first.masks)
    assert np.abs(first.pixels - other.pixels).mean() > 0.02
    assert render(spec, 11, SIZE, exposure=1).pixels.tobytes() != first.pixels.tobytes()


def test_pixels_and_masks_have_the_promised_form() -> None:
    film = render(ChestSpec(view="AP", findings=(Finding("cardiomegaly"),)), 5)
    assert film.pixels.shape == (512, 512)
    assert film.pixels.dtype == np.float32
    assert film.pixels.min() >= 0
    assert film.pixels.max() <= 1
    assert film.pixels.std() > 0.1
    assert film.masks["cardiomegaly"].dtype == bool
    assert film.masks["cardiomegaly"].shape == (512, 512)
    assert set(film.anatomy) == {"heart", "right lung", "left lung"}


def test_rendering_is_thread_safe() -> None:
    spec = ChestSpec(findings=(Finding("small opacities", severity=0.7), Finding("pacemaker", side="left")))
    alone = [render(spec, seed, 128).pixels.tobytes() for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: render(spec, seed, 128).pixels.tobytes(), range(6)))
    assert together == alone


@pytest.mark.parametrize("name", FINDINGS)
@pytest.mark.parametrize("seed", [21, 22])
def test_finding_changes_the_film_inside_its_mask(name: str, seed: int) -> None:
    side = "right" if seed % 2 else "left"
    healthy = render(ChestSpec(), seed, SIZE)
    film = render(ChestSpec(findings=(Finding(name, side=side, severity=0.7),)), seed, SIZE)
    mask = film.masks[name]
    assert set(film.masks) == {name}
    assert 8 <= mask.sum() < 0.6 * mask.size
    change = np.abs(film.pixels - healthy.pixels)
    assert change[mask].mean() > (1.5 if name in SHAPES or name == "scoliosis" else 4) * change[~mask].mean()
    assert change[mask].mean() > 0.008
    if name in LATERAL:
        # The patient's right is on the left of the film.
        middle = SIZE * build(ChestSpec(), seed).midline(0.4)
        centre = np.nonzero(mask)[1].mean()
        assert (centre < middle) == (side == "right")


@pytest.mark.parametrize("name", ["effusion", "consolidation", "nodule", "small opacities", "reticulation"])
def test_bilateral_findings_lie_on_both_sides(name: str) -> None:
    mask = render(ChestSpec(findings=(Finding(name, side="bilateral", severity=0.6),)), 4, SIZE).masks[name]
    middle = round(SIZE * build(ChestSpec(), 4).midline(0.4))
    assert mask[:, :middle].any()
    assert mask[:, middle:].any()


@pytest.mark.parametrize("name", ["nodule", "opacity", "effusion", "pneumothorax", "pleural thickening"])
def test_masks_of_lung_findings_stay_in_the_lung(name: str) -> None:
    for seed in range(3):
        film = render(ChestSpec(findings=(Finding(name, side="left", severity=0.8),)), seed, SIZE)
        near = ndimage.binary_dilation(film.anatomy["left lung"], iterations=2)
        assert not (film.masks[name] & ~near).any()


def test_ribs_cross_the_lungs_on_both_sides() -> None:
    anatomy = build(ChestSpec(), 6)
    bone = draw_ribs(anatomy, SIZE) > 0.3
    film = render(ChestSpec(), 6, SIZE)
    for side in ("right lung", "left lung"):
        assert 0.3 < bone[film.anatomy[side]].mean() < 0.8


def test_sites_are_ordered_from_apex_to_base() -> None:
    height = {}
    for site in ("apex", "upper", "middle", "base"):
        rows = [
            np.nonzero(render(ChestSpec(findings=(Finding("nodule", site, "right"),)), seed, 128).masks["nodule"])[
                0
            ].mean()
            for seed in range(4)
        ]
        height[site] = np.mean(rows)
    assert height["apex"] < height["upper"] < height["middle"] < height["base"]


def _ratio(film_seed: int, *findings: Finding) -> float:
    """Cardiothoracic ratio measured on the anatomy's masks: widest heart over widest chest."""
    film = render(ChestSpec(findings=findings), film_seed, SIZE)
    heart = np.nonzero(film.anatomy["heart"].any(0))[0]
    lungs = np.nonzero((film.anatomy["right lung"] | film.anatomy["left lung"]).any(0))[0]
    return float(np.ptp(heart) / np.ptp(lungs))


def test_cardiothoracic_ratio_grows_with_severity() -> None:
    for seed in range(5):
        normal, mild, severe = (
            _ratio(seed, *found)
            for found in ((), (Finding("cardiomegaly", severity=0.2),), (Finding("cardiomegaly", severity=1),))
        )
        assert 0.34 < normal < 0.5
        assert normal < mild < severe
        assert severe > 0.55


def test_profusion_raises_fine_texture_step_by_step() -> None:
    for seed in range(4):
        energy = []
        for profusion in range(4):
            findings = (Finding("small opacities", severity=profusion / 3),) if profusion else ()
            film = render(ChestSpec(findings=findings), seed)
            lungs = ndimage.binary_erosion(film.anatomy["right lung"] | film.anatomy["left lung"], iterations=12)
            fine = ndimage.gaussian_filter(film.pixels, 1.0) - ndimage.gaussian_filter(film.pixels, 3.5)
            energy.append(float(fine[lungs].var()))
        # Ribs and vessels give most of the texture of a lung without opacities.
        assert all(more > 1.02 * less for less, more in pairwise(energy))
        assert energy[3] > 1.2 * energy[0]


def test_small_opacities_prefer_the_upper_zones() -> None:
    film = render(ChestSpec(findings=(Finding("small opacities", severity=1.0),)), 8)
    lungs = film.anatomy["right lung"] | film.anatomy["left lung"]
    rows = np.nonzero(lungs.any(1))[0]
    middle = (rows[0] + rows[-1]) // 2
    share = [
        film.masks["small opacities"][part].sum() / lungs[part].sum()
        for part in (slice(0, middle), slice(middle, None))
    ]
    assert share[0] > 1.2 * share[1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Finding("dragons"),
        lambda: Finding("nodule", site="elbow"),
        lambda: Finding("nodule", side="up"),
        lambda: Finding("nodule", severity=1.5),
        lambda: ChestSpec(sex="x"),
        lambda: ChestSpec(view="LATERAL"),
        lambda: render(ChestSpec(), 1, 100),
        lambda: render(ChestSpec(), -1),
        lambda: PhantomDust(size=0),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong) -> None:
    with pytest.raises(DatasetError):
        wrong()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("normal", ()),
        ("Opacity/lung/lower lobe/left/mild", (Finding("opacity", "lower", "left", 0.35),)),
        ("Cardiomegaly/borderline", (Finding("cardiomegaly", "", "", 0.12),)),
        ("Pleural Effusion/bilateral/small", (Finding("effusion", "", "bilateral", 0.28),)),
        ("Calcified Granuloma/lung/lingula", (Finding("granuloma", "lingula", "left", 0.55),)),
        ("Calcinosis/lung/hilum/lymph nodes/right", (Finding("node calcification", "hilum", "right", 0.55),)),
        ("Calcinosis/aorta", (Finding("aortic calcification", "", "", 0.55),)),
        ("Aorta/tortuous/mild", (Finding("tortuous aorta", "", "", 0.35),)),
        ("Lung/hyperdistention/severe", (Finding("hyperinflation", "", "", 0.95),)),
        ("Lung/hypoinflation", (Finding("hypoinflation", "", "", 0.55),)),
        ("Opacity/lung/upper lobe/left/round", (Finding("nodule", "upper", "left", 0.55),)),
        ("Nodule/lung/multiple", (Finding("nodule", "scattered", "", 0.55),)),
        ("Opacity/lung/middle lobe", (Finding("opacity", "middle", "right", 0.55),)),
        ("Diaphragm/right/elevated/mild", (Finding("elevated diaphragm", "", "right", 0.35),)),
        ("Scoliosis/thoracic vertebrae/right/mild", (Finding("scoliosis", "", "right", 0.35),)),
        ("Calcified Granuloma/abdomen/left", ()),
        ("Kyphosis/thoracic vertebrae", ()),
        ("Fractures, Bone/clavicle/left", ()),
        ("Fractures, Bone/ribs/left/healed", (Finding("rib fracture", "", "left", 0.55),)),
        ("Technical Quality of Image Unsatisfactory ", ()),
    ],
)
def test_mesh_codes_are_read(code: str, expected: tuple[Finding, ...]) -> None:
    assert draw_code(code).findings == expected


def test_mesh_rules_draw_only_what_exists_and_each_heading_is_accounted_for(openi: PhantomOpenI) -> None:
    assert {name for _, _, drawn in RULES for name in drawn if name} <= set(FINDINGS)
    counts: dict[str, int] = defaultdict(int)
    for case in openi.cases():
        for drawn in draw_codes(case.codes):
            if not drawn.findings:
                counts[drawn.code.split("/")[0].strip()] += 1
    unexplained = {
        heading: n for heading, n in counts.items() if n >= 30 and heading not in NOT_DRAWN and heading != "normal"
    }
    assert not unexplained


def test_every_site_can_be_placed_in_either_lung() -> None:
    for site in SITES:
        for side in ("right", "left"):
            film = render(ChestSpec(findings=(Finding("nodule", site, side, 0.5),)), 2, 128)
            assert film.masks["nodule"].any()


def test_openi_keeps_reports_labels_and_splits_of_the_source(openi: PhantomOpenI) -> None:
    source = {case.case_id: case for case in OpenI().cases()}
    cases = openi.cases()
    assert len(cases) > 3700
    assert len({case.case_id for case in cases}) == len(cases)
    for case in cases:
        original = source[case.case_id.removeprefix("phantom-openi-")]
        assert (case.split, case.labels, case.codes) == (original.split, original.labels, original.codes)
        assert case.sections == original.sections
        assert case.synthetic
        assert case.image == case.case_id
        assert case.view in ("PA", "AP")
        assert {"findings", "impression"} & set(case.sections)
    splits = defaultdict(set)
    for case in cases:
        splits[" ".join(case.report.lower().split())].add(case.split)
        splits[case.patient_id].add(case.split)
    assert all(len(found) == 1 for found in splits.values())


def test_openi_order_is_a_seeded_mixture(openi: PhantomOpenI) -> None:
    first, all_cases = openi.cases()[:400], openi.cases()
    assert [case.case_id for case in PhantomOpenI(seed=4).cases()[:20]] != [case.case_id for case in all_cases[:20]]
    for label in ("Normal", "Cardiomegaly", "Opacity"):
        share = [sum(label in case.labels for case in part) / len(part) for part in (first, all_cases)]
        assert share[0] == pytest.approx(share[1], abs=0.06)


def test_openi_film_shows_the_codes(openi: PhantomOpenI) -> None:
    case = next(case for case in openi.cases() if "Cardiomegaly" in case.labels and "Pleural Effusion" in case.labels)
    film = openi.load_film(case.image or "")
    assert film.source_format == "phantom"
    assert film.view == case.view
    assert film.pixels.shape == (512, 512)
    assert set(openi.masks(case.case_id)) == {finding.name for finding in findings_of(case.codes)}
    assert {"Cardiomegaly", "Pleural Effusion"} <= set(openi.visible_labels(case))
    with pytest.raises(ImagingError, match="phantom-openi"):
        openi.load_film("CXR1")


def test_openi_drawn_labels_are_those_mostly_visible(openi: PhantomOpenI) -> None:
    carried: dict[str, int] = defaultdict(int)
    shown: dict[str, int] = defaultdict(int)
    for case in openi.cases():
        visible = openi.visible_labels(case)
        assert set(visible) <= set(case.labels)
        for label in case.labels:
            carried[label] += 1
            shown[label] += label in visible
    for label in OPENI_LABELS:
        assert (shown[label] >= 0.85 * carried[label]) == (label in openi.drawn_labels), label


def test_dust_case_depends_on_seed_and_number_only(dust: PhantomDust) -> None:
    small = PhantomDust(seed=3, size=40)
    assert list(small.cases()) == list(dust.cases()[:40])
    assert (
        small.load_film("phantom-dust-00017").pixels.tobytes() == dust.load_film("phantom-dust-00017").pixels.tobytes()
    )
    assert PhantomDust(seed=4, size=40).cases()[16] != small.cases()[16]


def test_dust_has_no_patient_or_report_in_two_splits(dust: PhantomDust) -> None:
    cases = dust.cases()
    splits = defaultdict(set)
    for case in cases:
        splits[case.patient_id].add(case.split)
        splits[case.report].add(case.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({case.report for case in cases}) == len(cases)
    films = defaultdict(int)
    for case in cases:
        films[case.patient_id] += 1
    assert set(films.values()) == {1, 2}
    assert {case.split for case in cases} == {"train", "val", "test"}


def test_dust_profiles_follow_the_stage_loosely(dust: PhantomDust) -> None:
    by_stage = {stage: [c for c in dust.cases() if c.labels == (stage,)] for stage in DUST_STAGES}
    assert all(len(cases) > 200 for cases in by_stage.values())
    years = [np.mean([float(c.profile["dust_years"]) for c in by_stage[stage]]) for stage in DUST_STAGES]
    assert years == sorted(years)
    assert years[3] - years[0] < 2.5 * np.std([float(c.profile["dust_years"]) for c in by_stage["Stage 1"]])
    fields = {"age", "sex", "occupation", "dust_years", "smoking", "alcohol", "cough", "dyspnoea", "chest_pain"}
    for case in dust.cases():
        assert set(case.profile) == fields
        assert case.profile["occupation"] in OCCUPATIONS
        assert float(case.profile["age"]) >= 18 + float(case.profile["dust_years"])
        assert case.sections["findings"]
        assert case.sections["impression"]
        assert case.synthetic


def test_dust_distractors_occur_at_every_stage(dust: PhantomDust) -> None:
    for stage in DUST_STAGES:
        names = {f.name for case in dust.cases() if case.labels == (stage,) for f in dust.spec(case.case_id).findings}
        assert {"effusion", "cardiomegaly", "granuloma", "emphysema"} <= names


def test_dust_films_follow_the_reports(dust: PhantomDust) -> None:
    case = next(c for c in dust.cases() if c.labels == ("Stage 3",))
    assert "small opacities" in dust.masks(case.image or "")
    follow_up = next(c for c in dust.cases() if c.patient_id != f"phantom-dust-patient-{c.case_id[-5:]}")
    first = dust.cases()[int(follow_up.case_id[-5:]) - 2]
    assert first.patient_id == follow_up.patient_id
    assert follow_up.labels >= first.labels
    assert float(follow_up.profile["age"]) > float(first.profile["age"])
    with pytest.raises(ImagingError, match="phantom-dust-00001"):
        dust.load_film("phantom-dust-99999")


def test_cohorts_travel_to_worker_processes(openi: PhantomOpenI, dust: PhantomDust) -> None:
    for cohort in (openi, dust):
        reference = cohort.cases()[5].image or ""
        copy = pickle.loads(pickle.dumps(cohort))
        assert copy.load_film(reference).pixels.tobytes() == cohort.load_film(reference).pixels.tobytes()


@pytest.mark.parametrize("cohort", [PhantomOpenI, PhantomDust])
def test_cards_say_what_is_synthetic(cohort: type) -> None:
    assert cohort.card.synthetic
    assert "SYNTHETIC" in cohort.card.description
    assert cohort.card.name in ("phantom-openi", "phantom-dust")


def test_age_and_sex_do_not_contradict_the_report() -> None:
    from index_builder.datasets.published.openi import OpenI

    published = {case.case_id: case.profile.get("age") for case in OpenI().cases()}
    ages = sexes = 0
    for case in PhantomOpenI().cases():
        text = " ".join(case.sections.values()).lower().split()
        if "woman" in text or "female" in text:
            assert case.profile["sex"] == "F"
            sexes += 1
        elif "man" in text or "male" in text:
            assert case.profile["sex"] == "M"
            sexes += 1
        source_age = published[case.case_id.removeprefix("phantom-openi-")]
        if source_age is not None:
            assert case.profile["age"] == source_age
            ages += 1
    assert ages > 3_000
    assert sexes > 700
