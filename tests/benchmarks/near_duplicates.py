"""How alike the films of different patients are, beside known copies: `near_duplicates.py CASEBOOK…`.

Prints percentiles of each film's highest thumbnail correlation with a film of another patient, and how many pairs pass
the threshold above which search takes two films for copies.
"""

import sys

import numpy as np

from explorer.casebook import Casebook
from explorer.search.phrases import DUPLICATE_CORRELATION, thumbnail_signature

for folder in sys.argv[1:]:
    casebook = Casebook.open(folder)
    held = [(row, jpeg) for row, one in enumerate(casebook.case_ids) if (jpeg := casebook.thumbnail(one)) is not None]
    signatures = np.stack([thumbnail_signature(jpeg) for _, jpeg in held])
    patients = casebook.column("patient_id")[[row for row, _ in held]]
    other = patients[:, None] != patients[None]
    correlation = signatures @ signatures.T
    highest = np.where(other, correlation, -1).max(axis=1)
    above = np.triu(correlation >= DUPLICATE_CORRELATION, 1)
    print(
        f"{casebook.name}: {len(held)} films, highest with another patient: p50 {np.median(highest):.3f} "
        f"p99 {np.percentile(highest, 99):.3f} max {highest.max():.3f}; pairs >= {DUPLICATE_CORRELATION}: "
        f"{int((above & other).sum())} of other patients, {int((above & ~other).sum())} of one patient"
    )
