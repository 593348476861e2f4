"""The CEL library without its command line. Used by expressions.py alone.

Its package imports its own command line, and with that a toolkit for terminals: 24 MB of memory and 0.13 s at every
start, for nothing. An empty module takes that place while the package is imported.
"""

from __future__ import annotations

import importlib
import logging
import sys
from types import ModuleType
from typing import Any


def _import() -> Any:
    stand_in = ModuleType("cel.cli")
    sys.modules.setdefault("cel.cli", stand_in)
    try:
        return importlib.import_module("cel")
    finally:
        if sys.modules.get("cel.cli") is stand_in:
            del sys.modules["cel.cli"]


cel = _import()
# A function of ours that cannot do something makes its expression unknown, and that says why.
logging.getLogger("cel").setLevel(logging.CRITICAL + 1)
