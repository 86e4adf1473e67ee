"""Keep what third-party libraries remark about a file out of terminal and logs."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Loggers that write about values; a filter on a parent does not hold back its children's records.
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils")
#: Modules that a warning is raised from.
_MODULES = r"(pydicom|PIL|openjpeg|libjpeg|pylibjpeg)(\.|$)"

_LOCK = threading.Lock()


@contextmanager
def third_parties_silenced() -> Iterator[None]:
    """Hold back warnings and log records of pydicom, Pillow and pylibjpeg that this thread causes.

    Faults are not hidden: every value used is checked by this package, and what it ignores becomes a note of
    the film. The remarks quote values of the file, and in a damaged one that can be a name.

    `warnings.catch_warnings` is process-wide, hence the lock. Parsing takes about a millisecond, and the
    decoders of pylibjpeg hold the interpreter's lock anyway.
    """
    me = threading.get_ident()

    def from_other_threads(record: logging.LogRecord) -> bool:
        return record.thread != me

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_MODULES)
        for logger in loggers:
            logger.addFilter(from_other_threads)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(from_other_threads)
