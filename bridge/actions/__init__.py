"""One family of actions a file. An action reads and plans; it never writes: the engine applies its plans."""
