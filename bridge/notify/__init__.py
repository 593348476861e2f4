"""Tell people. A channel that fails never fails or delays a remediation."""
