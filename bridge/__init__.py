"""alertbridge turns alerts into verified repairs. This module is what a plug-in author imports."""

from bridge.errors import PermanentError, TemporaryError

__all__ = ["PermanentError", "TemporaryError", "__version__"]
__version__ = "0.1.0"
