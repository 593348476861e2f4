"""One collector a file. Collectors read the cluster and other sources and return plain values."""
