"""Another name of the package `aegis`: the very same objects."""

from aegis import *  # noqa: F403
from aegis import __all__ as __all__
from aegis import __version__ as __version__
