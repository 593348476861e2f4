"""Dispatch alerts, and run remediations: guard, evidence, plan, apply, verify. Knows neither HTTP nor Redis."""
