"""MeSH codes of an Open-i report as findings that can be drawn, and which codes cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from index_builder.cases.labels import MeshCode, parse_mesh
from index_builder.datasets.phantom.spec import Finding

#: A rule: heading, qualifiers of which the code must carry one (none: any code), what is drawn.
#: The first rule that fits decides. Lower case throughout.
RULES: tuple[tuple[str, frozenset[str], tuple[str, ...]], ...] = tuple(
    (heading, frozenset(filter(None, needed.split("; "))), tuple(drawn.split("; ")))
    for headings, needed, drawn in (
        ("lung", "hypoinflation", "hypoinflation"),
        ("lung", "hyperdistention", "hyperinflation"),
        ("lung", "interstitial; reticular", "reticulation"),
        ("lung", "hilum; lymph nodes", "hilar enlargement"),
        ("opacity|density|infiltrate", "round", "nodule"),
        ("opacity|density|infiltrate", "interstitial; reticular", "reticulation"),
        ("opacity|density", "hilum", "hilar enlargement"),
        ("opacity|density", "mediastinum; paratracheal", "wide mediastinum"),
        ("opacity|density", "streaky", "scar"),
        ("opacity", "", "opacity"),
        ("density", "lung; base; apex; lower lobe; upper lobe; middle lobe; lingula; retrocardiac", "opacity"),
        ("airspace disease|consolidation|pneumonia|infiltrate", "", "consolidation"),
        ("pulmonary atelectasis|volume loss", "", "atelectasis"),
        ("nodule", "", "nodule"),
        ("mass", "mediastinum", "wide mediastinum"),
        ("mass", "", "mass"),
        ("calcinosis|atherosclerosis", "coronary vessels; heart; aortic valve; mitral valve; abdomen", ""),
        ("calcinosis", "aorta; aorta, thoracic; blood vessels", "aortic calcification"),
        ("calcinosis", "lymph nodes; hilum; mediastinum; paratracheal; trachea", "node calcification"),
        ("calcinosis", "lung; pleura; diaphragm", "granuloma"),
        ("calcified granuloma|granuloma|granulomatous disease", "abdomen", ""),
        (
            "calcified granuloma|granuloma|granulomatous disease",
            "lymph nodes; hilum; mediastinum",
            "node calcification",
        ),
        ("calcified granuloma|granuloma|granulomatous disease", "", "granuloma"),
        ("markings", "interstitial; reticular", "reticulation"),
        ("markings", "", "prominent markings"),
        ("lung diseases, interstitial|pulmonary fibrosis|bronchiectasis|cystic fibrosis", "", "reticulation"),
        ("sarcoidosis", "", "hilar enlargement; reticulation"),
        ("thickening", "bronchi; bronchovascular; interstitial", "reticulation"),
        ("thickening", "pleura; apex; costophrenic angle", "pleural thickening"),
        ("cicatrix|fibrosis", "pleura", "pleural thickening"),
        ("cicatrix|fibrosis", "", "scar"),
        ("emphysema|pulmonary emphysema|bullous emphysema|blister|lung, hyperlucent", "", "emphysema"),
        ("pulmonary disease, chronic obstructive", "", "emphysema"),
        ("pleural effusion|hemothorax", "", "effusion"),
        ("hydropneumothorax|hemopneumothorax", "", "effusion; pneumothorax"),
        ("pneumothorax", "", "pneumothorax"),
        ("costophrenic angle|pleura|sulcus", "blunted; obscured", "blunted angle"),
        ("pulmonary congestion|heart failure", "", "congestion"),
        ("pulmonary edema", "", "oedema"),
        ("cardiomegaly", "", "cardiomegaly"),
        ("cardiac shadow|heart|heart atria|heart ventricles", "enlarged; prominent; borderline", "cardiomegaly"),
        ("pericardial effusion", "", "pericardial effusion"),
        ("aorta|aorta, thoracic", "tortuous; enlarged; prominent", "tortuous aorta"),
        ("aortic aneurysm", "", "tortuous aorta"),
        ("atherosclerosis", "", "aortic calcification"),
        ("mediastinum", "prominent; enlarged", "wide mediastinum"),
        ("pulmonary artery", "enlarged; prominent", "hilar enlargement"),
        ("hypertension, pulmonary|lymph nodes", "", "hilar enlargement"),
        ("diaphragm", "elevated", "elevated diaphragm"),
        ("diaphragm", "flattened", "hyperinflation"),
        ("diaphragmatic eventration", "", "elevated diaphragm"),
        ("hernia, hiatal", "", "hiatal hernia"),
        ("thoracic vertebrae|spine|lumbar vertebrae|bone and bones", "degenerative", "osteophytes"),
        ("osteophyte|spondylosis", "cervical vertebrae; shoulder", ""),
        ("osteophyte|spondylosis|hyperostosis, diffuse idiopathic skeletal", "", "osteophytes"),
        ("scoliosis", "", "scoliosis"),
        ("fractures, bone|deformity", "ribs", "rib fracture"),
        ("catheters, indwelling", "", "central line"),
        ("implanted medical device|medical device", "", "pacemaker"),
        ("tube, inserted", "trachea; trachea, carina; bronchi; neck", "endotracheal tube"),
        ("tube, inserted", "pleura; lung; thorax; base; apex; right", "chest tube"),
        ("tube, inserted", "", "gastric tube"),
        ("surgical instruments", "mediastinum; thorax; sternum; heart", "sternal wires; clips"),
        ("surgical instruments|sutures|foreign bodies", "sternum", "sternal wires"),
        ("surgical instruments|sutures|foreign bodies", "", "clips"),
        ("spinal fusion", "", "spinal hardware"),
    )
    for heading in headings.split("|")
)

#: Headings that leave no trace on a phantom, and why.
NOT_DRAWN: dict[str, str] = {
    "Kyphosis": "seen on a lateral film",
    "Deformity": "other than of ribs: wedged vertebrae are seen on a lateral film, the rest is too various",
    "Fractures, Bone": "other than of ribs",
    "Arthritis": "joints of the shoulder are too coarse",
    "Bone Diseases, Metabolic": "density of bone depends on the exposure",
    "Osteoporosis": "density of bone depends on the exposure",
    "Lucency": "what is lucent is not coded",
    "Cavitation": "not modelled",
    "Cysts": "not modelled",
    "Stents": "too fine",
    "Epicardial Fat": "not modelled",
    "Subcutaneous Emphysema": "not modelled",
    "Mastectomy": "not modelled",
    "Breast Implants": "not modelled",
    "Pneumonectomy": "not modelled",
    "Shift": "not modelled",
    "Nipple Shadow": "not modelled",
    "Dislocations": "not modelled",
    "Sclerosis": "not modelled",
    "Funnel Chest": "seen on a lateral film",
    "Pectus Carinatum": "seen on a lateral film",
    "Technical Quality of Image Unsatisfactory": "says nothing about the chest",
    "No Indexing": "the report was not coded",
}

_SEVERITY = {"borderline": 0.12, "mild": 0.35, "moderate": 0.65, "severe": 0.95}
_SIZE = {"small": 0.28, "large": 0.85}
_USUAL = 0.55
_SITE = (
    ("lingula", "lingula"),
    ("retrocardiac", "retrocardiac"),
    ("apex", "apex"),
    ("upper lobe", "upper"),
    ("middle lobe", "middle"),
    ("base", "base"),
    ("lower lobe", "lower"),
    ("costophrenic angle", "base"),
    ("hilum", "hilum"),
    ("mediastinum", "mediastinum"),
    ("paratracheal", "mediastinum"),
)
_SPREAD = {"diffuse": "diffuse", "scattered": "scattered", "multiple": "scattered", "multilobar": "scattered"}
#: Findings for which "multiple" means many places rather than many of one kind in one place.
_SCATTERS = frozenset({"nodule", "granuloma", "opacity", "consolidation", "scar", "reticulation"})


@dataclass(frozen=True, slots=True)
class DrawnCode:
    """One code and what is drawn for it (nothing: invisible)."""

    code: str
    findings: tuple[Finding, ...]


def drawn_names(code: MeshCode) -> tuple[str, ...]:
    """Names of the findings that a code is drawn as; empty when it leaves no trace."""
    heading = code.heading.lower()
    words = {qualifier.strip().lower() for qualifier in code.qualifiers}
    for rule_heading, needed, drawn in RULES:
        if rule_heading == heading and (not needed or needed & words):
            return tuple(filter(None, drawn))
    return ()


def draw_code(text: str) -> DrawnCode:
    """Findings for one published code, e.g. "Opacity/lung/lower lobe/left/mild".

    >>> draw_code("Cardiomegaly/mild").findings
    (Finding(name='cardiomegaly', site='', side='', severity=0.35),)
    """
    code = parse_mesh(text)
    words = {qualifier.strip().lower() for qualifier in code.qualifiers}
    severity = _SEVERITY.get(code.severity or "", next((_SIZE[w] for w in sorted(_SIZE) if w in words), _USUAL))
    site = next((ours for theirs, ours in _SITE if theirs in words), "")
    findings = []
    for name in drawn_names(code):
        place = site
        if not place and name in _SCATTERS:
            place = next((_SPREAD[word] for word in sorted(_SPREAD) if word in words), "")
        if name == "granuloma" and code.heading.lower() == "granulomatous disease" and not place:
            place = "scattered"
        if name == "spinal hardware":
            place = "apex" if "cervical vertebrae" in words else ""
        side = code.side or {"lingula": "left", "retrocardiac": "left", "middle": "right"}.get(place, "")
        findings.append(Finding(name, place, side, severity))
    return DrawnCode(text, tuple(findings))


def draw_codes(codes: Iterable[str]) -> tuple[DrawnCode, ...]:
    """What is drawn for each code of a report, in published order."""
    return tuple(draw_code(code) for code in codes)


def findings_of(codes: Iterable[str]) -> tuple[Finding, ...]:
    """All findings to draw for a report, each once."""
    return tuple(dict.fromkeys(finding for drawn in draw_codes(codes) for finding in drawn.findings))
