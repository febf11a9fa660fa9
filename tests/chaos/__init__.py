"""Real load while parts of the shop die, then rest, then every invariant: see README.md."""

import pathlib
import sys

# For shopstack, which knows how a process of the stack is started.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
