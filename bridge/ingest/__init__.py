"""HTTP in: authenticate, decode, hand to the intake, answer.

`app` makes one `Receiver`, puts its routes into the one web application and listens with `serve`. Nothing here
knows of routing, of the engine, of Redis or of Kubernetes; an alert leaves this package through the protocol
`Intake` alone.
"""
