"""DICOM PS3.15, Annex E: the Basic Application Level Confidentiality Profile, by the package dicom-anonymizer.

The package holds the profile's table (2026c) and an action for each entry. Added here: UIDs and patient get pseudonyms
of a key, so that copies agree with each other; sequences the profile keeps are entered; what the table does not know
(private elements, unknown representations) goes; the preamble and the file meta information are rewritten; and the
header says what was done (PS3.15, E.1.1).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from index_builder.deidentify.pseudonyms import Pseudonyms
from index_builder.errors import ImagingError
from index_builder.imaging.quiet import third_parties_silenced

_TABLE = "dicomfields_2026c"
_NUMBERED = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "AE", "UI"})
_PLACES = ("InstitutionName", "InstitutionAddress", "PatientAddress", "CountryOfResidence", "RegionOfResidence")

Action = Callable[[Dataset, tuple[int, ...]], None]


def read_dicom(data: bytes, name: str) -> FileDataset:
    """Every element of a DICOM file.

    Raises:
        ImagingError: Damaged; the message quotes nothing of the file.
    """
    try:
        with third_parties_silenced():
            found = dcmread(io.BytesIO(data), force=True)
            found.walk(lambda dataset, element: None)  # what cannot be parsed shows here
    except Exception:
        raise ImagingError(f"{name}: the DICOM header is damaged. Export or copy the file again.") from None
    return found


def known_identifiers(found: Dataset) -> frozenset[str]:
    """What a header says that a report may repeat: names, numbers of patient and visit, places."""
    with third_parties_silenced():
        return frozenset(_identifiers(found))


def text_burned_in(found: Dataset) -> bool:
    """Whether the header says that the pixels name the patient."""
    return str(found.get("BurnedInAnnotation", "")).strip().upper() == "YES"


def deidentified_dicom(found: FileDataset, name: str, patient: str, pseudonyms: Pseudonyms) -> bytes:
    """A DICOM file after the profile, its pixels as they were. `found` is changed.

    Args:
        found: From `read_dicom`.
        name: What a message calls the file.
        patient: The patient's pseudonym.
        pseudonyms: For UIDs.

    Raises:
        ImagingError: The profile cannot be applied.
    """
    try:
        with third_parties_silenced():
            _apply(found, _rules(pseudonyms))
            _declare(found, patient)
            return _written(found)
    except Exception:
        raise ImagingError(f"{name}: its header cannot be de-identified. Export the film as PNG or JPEG.") from None


@cache
def _basic_profile() -> dict[tuple[int, ...], Action]:
    from dicomanonymizer.simpledicomanonymizer import initialize_actions

    return initialize_actions(_TABLE)


def _rules(pseudonyms: Pseudonyms) -> dict[tuple[int, ...], Action]:
    """The profile's actions, with replaced UIDs that depend on the key alone."""
    from dicomanonymizer.simpledicomanonymizer import delete_or_empty_or_replace_UID, replace_UID

    def replaced(dataset: Dataset, tag: tuple[int, ...]) -> None:
        element = dataset.get((tag[0], tag[1]))
        if element is None:
            return
        if element.VR != "UI":
            element.value = Sequence() if element.VR == "SQ" else None
        elif isinstance(element.value, str):
            element.value = pseudonyms.uid(element.value)
        elif element.value:
            element.value = [pseudonyms.uid(one) for one in element.value]

    with_uids = (replace_UID, delete_or_empty_or_replace_UID)
    return {tag: replaced if action in with_uids else action for tag, action in _basic_profile().items()}


def _apply(dataset: Dataset, rules: dict[tuple[int, ...], Action]) -> None:
    from dicomanonymizer import anonymize_dataset

    anonymize_dataset(dataset, base_rules_gen=rules.copy)
    for element in list(dataset):
        if element.VR == "UN":
            del dataset[element.tag]
        elif element.VR == "SQ":
            for item in element.value:
                _apply(item, rules)


def _declare(found: Dataset, patient: str) -> None:
    found.PatientID = found.PatientName = patient
    found.PatientIdentityRemoved = "YES"
    found.LongitudinalTemporalInformationModified = "REMOVED"
    found.DeidentificationMethod = "CXR Explorer, PS3.15 2026c"
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator = "113100", "DCM"
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    found.DeidentificationMethodCodeSequence = Sequence([method])


def _written(found: FileDataset) -> bytes:
    meta = FileMetaDataset()
    implicit, little_endian = found.original_encoding
    guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
    meta.TransferSyntaxUID = UID(getattr(found, "file_meta", {}).get("TransferSyntaxUID") or guessed)
    meta.MediaStorageSOPClassUID = UID(found.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"))
    meta.MediaStorageSOPInstanceUID = UID(found.get("SOPInstanceUID") or "2.25.0")
    found.file_meta, found.preamble = meta, bytes(128)
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _identifiers(dataset: Dataset) -> Iterator[str]:
    profile = _basic_profile()
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _identifiers(item)
            continue
        values: list[Any] = [element.value] if element.VM == 1 else list(element.value or ())
        texts = [str(value).strip() for value in values if value is not None]
        if element.VR == "PN":
            for text in texts:
                yield from (part for part in text.replace("=", "^").replace(" ", "^").split("^") if len(part) > 1)
        elif element.keyword in _PLACES:
            yield from texts
        elif element.VR in _NUMBERED and (element.is_private or (element.tag.group, element.tag.element) in profile):
            yield from (text for text in texts if 4 <= len(text) <= 64 and any(sign.isdigit() for sign in text))
