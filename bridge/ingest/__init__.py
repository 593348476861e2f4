"""HTTP in: authenticate, decode, hand to the intake, answer. Knows nothing of routing, engine or Kubernetes."""
