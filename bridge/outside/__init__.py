"""What is reached beside Kubernetes: Prometheus, HTTP, databases, Redis and Sentinel, commands, notifications.

One sort of peer a file, behind bridge.ports.Connections. Addresses and secrets come from the configuration alone.
"""
