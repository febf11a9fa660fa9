#!/usr/bin/env python3
"""mkimage.py OUT.tar NAME:TAG ENTRYPOINT SOURCE=PATH... -> a docker archive with one layer, the same each time."""

import hashlib
import io
import json
import sys
import tarfile

USER = 65532
EPOCH = "1970-01-01T00:00:00Z"
ACCOUNTS = {
    "etc/passwd": f"root:x:0:0::/:/sbin/nologin\nnonroot:x:{USER}:{USER}::/:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nnonroot:x:{USER}:\n",
}


def add(tar, name, content, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (("tmp", 0o1777), ("etc", 0o755)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        for name, text in ACCOUNTS.items():
            add(tar, name, text.encode())
        for file in files:
            source, path = file.split("=", 1)
            with open(source, "rb") as content:
                add(tar, path.lstrip("/"), content.read(), 0o755)
    return out.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def main(out, name, entrypoint, *files):
    content = layer(files)
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": EPOCH, "history": [{"created": EPOCH}],
        "config": {"Entrypoint": [entrypoint], "User": f"{USER}:{USER}", "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(content)]},
    }).encode()  # fmt: skip
    place = f"{sha256(content)}/layer.tar"
    manifest = json.dumps([{"Config": f"{sha256(config)}.json", "RepoTags": [name], "Layers": [place]}]).encode()
    with tarfile.open(out, "w") as tar:
        add(tar, f"{sha256(config)}.json", config)
        add(tar, place, content)
        add(tar, "manifest.json", manifest)


if __name__ == "__main__":
    main(*sys.argv[1:])
