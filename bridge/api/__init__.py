"""The HTTP API for people and programs: remediations, trigger, pause, explain, health, metrics, OpenAPI."""
