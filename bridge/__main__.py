"""`python -m bridge` is `alertbridge`."""

from bridge.cli import main

main()
