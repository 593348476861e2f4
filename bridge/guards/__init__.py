"""One guard a file: each allows, defers or denies with a Reason. Guards read facts; they change nothing."""
