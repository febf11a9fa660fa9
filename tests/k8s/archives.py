"""Images under another tag, from the archives that docker/images saved."""

import io
import json
import tarfile

from shop import ARCHIVES

# What names the images beside manifest.json: since Docker 25 an OCI index too, which containerd prefers.
OTHER_NAMES = {"repositories", "oci-layout", "index.json"}


def retagged(archive, name, target):
    """The same image under another name, as a build of the same source would be."""
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        for member in old.getmembers():
            content = old.extractfile(member)
            if member.name == "manifest.json":
                manifest = json.load(content)
                manifest[0]["RepoTags"] = [name]
                text = json.dumps(manifest).encode()
                member.size, content = len(text), io.BytesIO(text)
            if member.name not in OTHER_NAMES:
                new.addfile(member, content)
    return target


def load_next(cluster, folder, *names):
    """Brings these images to the nodes under the tag `next` too."""
    for name in names:
        target = folder / f"{name}-next.tar"
        cluster.load(retagged(ARCHIVES / f"{name}.tar", f"docker.io/shop/{name}:next", target))
        target.unlink()
