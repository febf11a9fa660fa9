"""A mount namespace of our own, where names and the database's disk can be taken away without anybody else noticing.

It ends with this process, and its mounts with it.  Without the right to make one, the faults that need it are left out.
"""

import ctypes
import pathlib
import subprocess

CLONE_NEWNS = 0x00020000
HOSTS = {"db.shop.test": "127.0.0.1", "mail.shop.test": "127.0.0.1"}
DISK_MB = 700

inside = False


def enter(folder):
    """Before any thread and any child.  True when it worked."""
    global inside
    folder = pathlib.Path(folder)
    if inside:
        return True
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    if not _cover_names(folder):
        return False
    # Who asks further than /etc/hosts is refused at once.
    _rewrite("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    names_known(True)
    inside = True
    return True


def _cover_names(folder):
    """Files of our own in the place of those in /etc; False, and nothing changed, where mounts are forbidden."""
    covered = []
    try:
        _mount("--make-rprivate", "/")
        _mount("-t", "tmpfs", "tmpfs", folder)  # only whether the database's disk could be made
        subprocess.run(["umount", folder], check=True)
        for name in ("hosts", "resolv.conf"):
            (folder / name).touch()
            _mount("--bind", folder / name, f"/etc/{name}")
            covered.append(f"/etc/{name}")
    except (OSError, subprocess.CalledProcessError):
        for path in covered:
            subprocess.run(["umount", path], check=True)
        return False
    return True


def _mount(*args):
    subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)


def _rewrite(path, text):
    """In place: another file under this name would not be the one that is mounted."""
    with open(path, "r+", encoding="ascii") as out:
        out.write(text)
        out.truncate()


def names_known(known):
    lines = ["127.0.0.1 localhost\n"]
    if known:
        lines += [f"{address} {name}\n" for name, address in HOSTS.items()]
    _rewrite("/etc/hosts", "".join(lines))


class Disk:
    """A small file system for one folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={DISK_MB}M,mode=700", "tmpfs", self.folder)
        self.ballast = self.folder / "ballast"

    def fill(self):
        """To the last block; again when something was freed meanwhile."""
        with open(self.ballast, "ab", buffering=0) as out:
            for size in (1 << 20, 4096):
                while True:
                    try:
                        out.write(b"\0" * size)
                    except OSError:
                        break

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=False)


