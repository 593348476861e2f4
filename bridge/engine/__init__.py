"""Dispatch alerts to remediations, and run these: guard, evidence, plan, apply, verify. Knows neither HTTP nor Redis."""
