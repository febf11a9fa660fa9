#!/usr/bin/env python3
"""without_kinds.py 'A|B' FILE: the documents of a file, without those of the kinds A and B."""

import sys

import yaml

kinds, file = sys.argv[1].split("|"), sys.argv[2]
with open(file) as text:
    kept = [doc for doc in yaml.safe_load_all(text) if doc and doc["kind"] not in kinds]
yaml.safe_dump_all(kept, sys.stdout)
