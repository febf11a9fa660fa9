"""Archives as `docker save` writes them, under another tag."""

import io
import json
import tarfile

from archives import retagged

BLOB = "blobs/sha256/0123"


def test_the_new_name_is_the_only_one(tmp_path):
    manifest = [{"Config": BLOB, "RepoTags": ["docker.io/shop/x:dev"], "Layers": [BLOB]}]
    files = {
        BLOB: b"a layer", "index.json": b"{}", "oci-layout": b"{}", "repositories": b"{}",
        "manifest.json": json.dumps(manifest).encode(),
    }  # fmt: skip
    with tarfile.open(tmp_path / "old.tar", "w") as old:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            old.addfile(member, io.BytesIO(content))
    with tarfile.open(retagged(tmp_path / "old.tar", "docker.io/shop/x:next", tmp_path / "new.tar")) as new:
        assert set(new.getnames()) == {BLOB, "manifest.json"}
        assert new.extractfile(BLOB).read() == b"a layer"
        assert json.load(new.extractfile("manifest.json")) == [{**manifest[0], "RepoTags": ["docker.io/shop/x:next"]}]
