"""jiesu-nlp: a citizen's words in, a dispatch suggestion out."""

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import BundleError, DataError, JiesuError, UsageError
from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.ticket import Ticket

__version__ = "0.1.0"

__all__ = [
    "BundleError",
    "DataError",
    "Dispatcher",
    "JiesuError",
    "Suggestion",
    "Ticket",
    "UsageError",
    "__version__",
]
