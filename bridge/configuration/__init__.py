"""YAML to validated routes and runbooks. Errors name file, line, column, key and what was expected."""
