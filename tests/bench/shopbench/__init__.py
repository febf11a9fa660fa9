"""The benchmarks of tools/run-bench: one module for each kind of tool, one for each group of figures."""

import pathlib
import sys

# For shopstack, which knows free ports.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "tools"))
