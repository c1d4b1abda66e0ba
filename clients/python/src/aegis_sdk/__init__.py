"""Another name of the package `aegis`: the very same objects."""

from aegis import *  # noqa: F403
from aegis import __all__, __version__

__all__ = [*__all__, "__version__"]  # noqa: PLE0604
