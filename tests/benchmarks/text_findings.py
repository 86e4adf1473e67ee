"""Findings that text search is measured with: the MeSH codes that mean each, and how people type it.

A rule is a heading ("Nodule") or a heading with qualifiers that all stand behind it ("Opacity/lung/round"). The table
is strict where coders had a heading of their own: a consolidation is "Consolidation" and not also "Airspace Disease",
a blunted costophrenic angle is no effusion, a pneumonia no infiltrate. Headings share a finding only where the coders
used them for the same words:

- cardiomegaly: an enlarged or borderline cardiac shadow too;
- effusion and pneumothorax: a hydropneumothorax is both;
- opacity, as of the airspace: a density of the lung too;
- nodule: a round opacity or density of the lung too, "nodular" in the report;
- granuloma: calcified or not; emphysema: its three headings; aortic calcification: atherosclerosis of the aorta too;
- degenerative spine: spondylosis too; airspace disease: consolidation and infiltrate too, which are kinds of it.

Devices are coded coarsely: a PICC is any indwelling catheter, a pacemaker any implanted device that is not said to lie
in a bone or valve, and what a bypass leaves behind any surgical instrument of the mediastinum. Such queries measure
whether a device of that sort is found, not which.
"""

from __future__ import annotations

from benchmarks.text_finding import Finding
from benchmarks.text_findings_chest import CHEST
from benchmarks.text_findings_rest import REST

FINDINGS: tuple[Finding, ...] = (*CHEST, *REST)

#: What clear lungs lack: everything the coders put into the lungs themselves, old scars and granulomas included.
LUNG_DISEASE = Finding(
    "lung disease",
    (
        *("Opacity", "Density/lung", "Airspace Disease", "Consolidation", "Infiltrate", "Pneumonia", "Nodule", "Mass"),
        *("Pulmonary Atelectasis", "Pulmonary Edema", "Pulmonary Congestion", "Markings", "Lung/interstitial"),
        *("Lung Diseases, Interstitial", "Pulmonary Fibrosis", "Bronchiectasis", "Cystic Fibrosis", "Cicatrix/lung"),
        *("Calcified Granuloma", "Granuloma", "Granulomatous Disease", "Calcinosis/lung", "Emphysema", "Cavitation"),
        *("Pulmonary Emphysema", "Bullous Emphysema", "Pulmonary Disease, Chronic Obstructive", "Blister"),
        *("Lung/hyperdistention", "Volume Loss", "Lung, Hyperlucent"),
    ),
    (),
    healthy=("clear lungs", "lungs are clear", "the lungs are clear bilaterally", "lungs clear", "both lungs clear"),
)
