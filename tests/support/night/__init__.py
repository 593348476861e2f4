"""A simulated night: five systems in one cluster, their monitoring, alertbridge, the people on call, and the trouble.

`clock` is the time of all of them, `world` the cluster and what is wrong in it, `monitoring` Prometheus and the pair
of Alertmanagers, `house` alertbridge with its Redis and its workers, `people` who is called and what they do,
`script` what happens when, `night` lets it all happen and keeps the time line. `*.yml` are the runbooks, one file a
system.
"""
