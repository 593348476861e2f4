"""Pure data and pure functions: alerts, routes, runbooks, plans, remediations. No I/O, no clock, no state."""
