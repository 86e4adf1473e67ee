"""A source of films and reports to a copy of it that names nobody, from which a casebook is built like from any other.

source ──► pseudonyms, dicom_profile, text ──► copy (a manifest and its films) ──► build

`docs/how-to/deidentification.md` says what is removed, what stays and what a reader must still look at.
"""

from index_builder.deidentify.pseudonyms import KEY_VARIABLE, Pseudonyms
from index_builder.deidentify.source_copy import CopyReport, write_deidentified

__all__ = ["KEY_VARIABLE", "CopyReport", "Pseudonyms", "write_deidentified"]
