"""YAML to validated routes and runbooks. Errors name file, line, column, key and what was expected."""

from bridge.configuration.configuration import Configuration
from bridge.configuration.holder import ConfigurationHolder
from bridge.configuration.loader import load
from bridge.errors import ConfigurationError

__all__ = ["Configuration", "ConfigurationError", "ConfigurationHolder", "load"]
