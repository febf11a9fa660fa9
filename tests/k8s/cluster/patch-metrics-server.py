#!/usr/bin/env python3
"""patch-metrics-server.py FOLDER: take the ShardInfo type (Kubernetes 1.36) out of the OpenAPI code of metrics-server.

The test cluster is Kubernetes 1.35, and metrics-server is compiled into its binary.
"""

import pathlib
import re
import sys

GENERATED = "pkg/api/generated/openapi/zz_generated.openapi.go"


def without_shard_info(text):
    lines = [line for line in text.split("\n") if not re.match(r"\s*v1\.ShardInfo\{\}\.OpenAPIModelName\(\):", line)]
    text = "\n".join(lines)
    member = r'\n\t+"shardInfo": \{\n\t+SchemaProps: spec\.SchemaProps\{\n.*?\n\t+\},\n\t+\},'
    text = re.sub(member, "", text, count=1, flags=re.S)
    text = re.sub(r"\n\t+Dependencies: \[\]string\{\n\t+v1\.ShardInfo\{\}\.OpenAPIModelName\(\)\},", "", text)
    return re.sub(r"\nfunc schema_pkg_apis_meta_v1_ShardInfo\(.*?\n\}\n", "\n", text, flags=re.S)


def main(folder):
    path = pathlib.Path(folder) / GENERATED
    text = without_shard_info(path.read_text())
    if "ShardInfo" in text:
        sys.exit("ShardInfo is still there: another version of metrics-server?")
    path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
