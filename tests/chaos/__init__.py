"""Real load while parts of the shop die, then rest, then every invariant: see README.md."""
