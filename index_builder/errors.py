"""The one exception hierarchy of the project.

Every message names the file or value at fault and the remedy; command line and app print it as it is.
Anything else that escapes is a bug.
"""


class CxrError(Exception):
    """Base of every error that a user can cause or fix."""


class InstallationError(CxrError):
    """A file that belongs to the program itself is missing."""


class DatasetError(CxrError):
    """A dataset folder, table or report file cannot be read."""


class ImagingError(CxrError):
    """A film cannot be decoded, or exceeds a limit."""


class DownloadError(CxrError):
    """A download failed, is incomplete or does not match its checksum."""


class ModelError(CxrError):
    """An encoder or checkpoint is missing or does not fit its configuration."""


class CasebookError(CxrError):
    """A casebook is missing, damaged, of another version, or its target is not writable."""


class WorkerError(CxrError):
    """Workers of a build cannot be had, or one failed in a way of its own."""


class QueryError(CxrError):
    """A search query or filter expression makes no sense for this casebook."""


class ExplanationError(CxrError):
    """A request for an explanation that does not fit the system or the case."""


class AccessError(CxrError):
    """Somebody is not let in or may not do this, or the rules that say so are wrong."""


class Cancelled(CxrError):  # noqa: N818  the caller's wish, no fault
    """The caller stopped a long computation."""
