"""One guard a file: each allows, defers or denies with a Reason. Guards read facts; they change nothing.

The order, in which the first that does not allow decides (`bridge.wiring` puts it together):

Entry guards, before anything is read of a cluster, and again after every wait before the first write:
pause, maintenance, silence, hold_off, freshness, effectiveness, cooldown, attempts, again, run_limits. First what
people have said, then whether it is time, then whether it has helped, then how often it ran. (Time intervals of a
route are asked before, by the dispatcher: outside of them no remediation comes to be.)

Plan guards, for every plan before it is made: protected, own_part, owner, reversible, changes, budget. First what is
never touched, then what would not last or could not be undone, then who else is at it; the budget comes last, so that
what another one denies is not charged for. It alone keeps something: what the plan disturbs is reserved before the
first write, given back by a run that waits before it wrote, and settled by the script that ends the run.

Two are asked once more right before the first write of a run: pause, for every place that the plan changes, and
run_limits, when the run is counted in one step with the look whether it may be.

What is not let in is deferred (looked at again when the reason may have ended, for what still fires then) or denied
(a person is told where the reason says so, once for what is spent or stopped).
"""
