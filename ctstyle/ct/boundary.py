"""The boundary of the reader: whatever a library makes of a file's content leaves it as one named error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from ctstyle.errors import CTStyleError

PACKAGE = Path(__file__).resolve().parent.parent
OF_A_PROGRAM = (TypeError, AttributeError, NameError, ImportError, LookupError, AssertionError)
"""What a mistake in a line of this package raises. Libraries raise the same on damaged content."""


class Unreadable(CTStyleError):
    """A file on which a library fails, or that the system does not hand out."""


@contextmanager
def named_errors(where: object) -> Iterator[None]:
    """Raise Unreadable for every exception inside but a CTStyleError and a mistake in a line of this package."""
    try:
        yield
    except CTStyleError:
        raise
    except Exception as error:
        if isinstance(error, OF_A_PROGRAM) and _raised_here(error):
            raise
        said = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise Unreadable(
            "the file cannot be read",
            where=where,
            found=" ".join(said.split())[:200],
            expected="a sound CT, or a mask of one",
            fix="Copy or export it again, or take it out of the sheet of scans.",
        ) from error


def reads_files(read: Callable) -> Callable:
    """Decorate a reader whose first argument is the file or folder: its errors have names (`named_errors`)."""

    @wraps(read)
    def reading(source, *others, **named):
        with named_errors(source):
            return read(source, *others, **named)

    return reading


def _raised_here(error: BaseException) -> bool:
    """Tell whether the line that raised lies in this package and not in a library."""
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    return Path(place.tb_frame.f_code.co_filename).resolve().is_relative_to(PACKAGE)
