"""The benchmarks of tools/run-bench: one module for each kind of tool, one for each group of figures."""
