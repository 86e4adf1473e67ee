"""Short reports of phantom dust films: what was drawn, in varied words, hedged now and then.

Every report is unlike every other: five sentences that say nothing about the stage are chosen by the digits of the case
number, so that no text can stand in two parts of the data.
"""

from __future__ import annotations

import numpy as np

from index_builder.datasets.phantom.spec import ChestSpec, Finding, stream

_OPENINGS = (
    "Single frontal view of the chest.",
    "Frontal chest radiograph, adequate quality.",
    "One frontal film, full inspiration.",
    "Chest film, slightly rotated.",
    "Frontal projection; exposure satisfactory.",
    "Frontal radiograph of diagnostic quality.",
    "Chest, one view. Good inspiration.",
    "Digital frontal chest film.",
)
_BONES = (
    "No acute bony abnormality.",
    "Bony thorax intact.",
    "Ribs without acute fracture.",
    "Skeleton unremarkable for age.",
    "No destructive bone lesion.",
    "Osseous structures without acute change.",
    "No displaced rib fracture seen.",
    "Visualised bones are intact.",
)
_TRACHEA = (
    "Trachea midline.",
    "Central airways patent.",
    "Trachea and main bronchi unremarkable.",
    "No tracheal deviation.",
    "Airway in the midline.",
    "Trachea is central.",
    "Carina in normal position.",
    "Tracheal air column normal.",
)
_SOFT = (
    "Soft tissues unremarkable.",
    "No subcutaneous emphysema.",
    "Soft tissues of the chest wall are normal.",
    "No soft tissue abnormality.",
    "Chest wall unremarkable.",
    "Soft tissue planes preserved.",
    "No abnormal soft tissue gas.",
    "Overlying soft tissues normal.",
)
_ABDOMEN = (
    "Upper abdomen unremarkable.",
    "No free air under the diaphragm.",
    "Visible upper abdomen normal.",
    "No subdiaphragmatic gas.",
    "Gas pattern of the upper abdomen is normal.",
    "Nothing of note below the diaphragm.",
    "Upper abdominal structures unremarkable.",
    "No free intraperitoneal gas seen.",
)
_SLOTS = (_OPENINGS, _BONES, _TRACHEA, _SOFT, _ABDOMEN)
#: As many cases as there are choices of the five sentences.
MOST_CASES = 8 ** len(_SLOTS)

_SMALL: tuple[tuple[str, ...], ...] = (
    (
        "Lungs are clear.",
        "No small rounded opacities.",
        "No parenchymal opacities suggesting pneumoconiosis.",
        "Lung parenchyma without nodular change.",
        "No focal or diffuse lung opacity of dust disease.",
    ),
    (
        "A few small rounded opacities in both upper zones, profusion 1/1.",
        "Sparse small nodular opacities, mainly upper zones; lung markings still visible.",
        "Small round opacities are present but few, category 1.",
        "Mild diffuse micronodularity in the upper and middle zones.",
        "Scattered tiny nodules in both upper lungs.",
    ),
    (
        "Numerous small rounded opacities in upper and middle zones, profusion 2/2.",
        "Many small nodular opacities bilaterally, partly obscuring the vessels.",
        "Moderate profusion of round opacities, category 2.",
        "Diffuse small nodules in both lungs, upper zone predominance, moderate in number.",
        "Bilateral micronodular pattern of moderate density.",
    ),
    (
        "Very numerous small rounded opacities in all zones, profusion 3/3.",
        "Dense bilateral nodularity, lung markings largely obscured.",
        "Innumerable small round opacities throughout both lungs, category 3.",
        "Extensive diffuse micronodules, most marked in the upper zones.",
        "Profuse small nodular opacities replacing the normal markings.",
    ),
)
_FEW = ("An occasional tiny opacity, below category 1.", "Questionable few small opacities, 0/1.")
_STAGE = (
    (
        "No radiographic evidence of pneumoconiosis.",
        "Negative for pneumoconiosis.",
        "No signs of dust disease, stage 0.",
        "Normal lungs for a dust-exposed worker.",
    ),
    (
        "Simple pneumoconiosis, stage 1.",
        "Findings of early pneumoconiosis.",
        "Category 1 simple silicosis.",
        "Mild nodular pneumoconiosis.",
    ),
    (
        "Pneumoconiosis, stage 2.",
        "Moderate nodular pneumoconiosis.",
        "Category 2 silicosis.",
        "Established pneumoconiosis of moderate profusion.",
    ),
    (
        "Advanced pneumoconiosis, stage 3.",
        "Severe nodular pneumoconiosis.",
        "Category 3 silicosis.",
        "Extensive dust disease of the lungs.",
    ),
)
_HEDGES = ("Probably: ", "Appearances favour: ", "Likely ", "Consistent with: ")
_CLEAR = {
    "effusion": ("No pleural effusion.", "Costophrenic angles are sharp.", "Pleural spaces clear.", ""),
    "cardiomegaly": ("Heart size normal.", "Cardiac silhouette within normal limits.", "Heart not enlarged.", ""),
}


def write_report(spec: ChestSpec, stage: int, number: int, seed: int) -> dict[str, str]:
    """Sections `findings` and `impression` for a film.

    Args:
        spec: What is drawn.
        stage: 0 to 3.
        number: Case number, 1 to `MOST_CASES`; no two numbers give the same findings section.
        seed: The cohort's seed.
    """
    rng = stream(seed, f"dust/report/{number}")
    # Multiplying by an odd number permutes the residues of a power of two: the sentences never repeat as a set.
    code = (number * 20261 + seed * 977) % MOST_CASES
    fixed = []
    for slot in _SLOTS:
        code, digit = divmod(code, len(slot))
        fixed.append(slot[digit])
    drawn = {finding.name: finding for finding in spec.findings}
    lungs = [_small(drawn, stage, rng)]
    if "mass" in drawn:
        lungs.append(
            _pick(
                rng,
                (
                    f"Large opacity in the {drawn['mass'].side} upper zone.",
                    f"Conglomerate mass, {drawn['mass'].side} upper lung.",
                ),
            )
        )
    rest = [sentence for finding in spec.findings if (sentence := _describe(finding, rng))]
    for name, choices in _CLEAR.items():
        if name not in drawn:
            rest.append(_pick(rng, choices))
    rng.shuffle(rest)
    opening, bones, trachea, soft, abdomen = fixed
    body = [opening, *lungs, *rest, trachea, bones, soft, abdomen]
    hedge = _pick(rng, _HEDGES) if stage and rng.random() < 0.22 else ""
    verdict = _pick(rng, _STAGE[stage])
    impression = [hedge + (verdict[0].lower() + verdict[1:] if hedge else verdict)]
    if "mass" in drawn:
        impression.append(_pick(rng, ("Progressive massive fibrosis.", "Large opacity; exclude malignancy.")))
    for finding in spec.findings:
        if finding.name in _IMPRESSION and rng.random() < 0.7:
            impression.append(_IMPRESSION[finding.name].format(side=finding.side))
    return {"findings": " ".join(filter(None, body)), "impression": " ".join(impression)}


_IMPRESSION = {
    "effusion": "Pleural effusion on the {side}.",
    "cardiomegaly": "Cardiomegaly.",
    "emphysema": "Emphysema.",
    "consolidation": "Possible pneumonia, {side} lower zone.",
}


def _small(drawn: dict[str, Finding], stage: int, rng: np.random.Generator) -> str:
    if stage == 0 and "small opacities" in drawn and rng.random() < 0.8:
        return _pick(rng, _FEW)
    return _pick(rng, _SMALL[stage])


def _describe(finding: Finding, rng: np.random.Generator) -> str:
    degree = "Small" if finding.severity < 0.4 else "Moderate" if finding.severity < 0.65 else "Large"
    mild = "mildly" if finding.severity < 0.4 else "moderately" if finding.severity < 0.65 else "markedly"
    side = finding.side
    choices = {
        "effusion": (
            f"{degree} {side} pleural effusion.",
            f"Fluid in the {side} pleural space.",
            f"{side.title()} angle is blunted by fluid.",
        ),
        "cardiomegaly": (
            f"Heart is {mild} enlarged.",
            "Enlarged cardiac silhouette.",
            f"Cardiac silhouette {mild} enlarged.",
        ),
        "granuloma": (f"Calcified granuloma in the {side} lung.", f"Old granulomatous calcification on the {side}."),
        "emphysema": (
            "Hyperinflated, hyperlucent lungs with flat diaphragms.",
            "Emphysematous changes.",
            "Increased lung volume.",
        ),
        "scar": (f"Fibrotic streaks at the {side} apex.", f"Apical scarring on the {side}."),
        "pleural thickening": (f"Pleural thickening on the {side}.", f"{side.title()} pleural thickening."),
        "aortic calcification": ("Calcified aortic knob.", "Atherosclerotic aorta."),
        "consolidation": (f"Patchy consolidation in the {side} lower zone.", f"Airspace opacity, {side} lower lung."),
        "osteophytes": ("Degenerative spurs of the thoracic spine.", "Spondylosis of the thoracic spine."),
    }.get(finding.name)
    return _pick(rng, choices) if choices else ""


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
