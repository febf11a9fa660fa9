"""A certificate authority of our own and the broker's certificate, for tests of TLS."""

import os
import subprocess

EXTENSIONS = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"


def _openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def make(folder):
    """Makes ca.crt and keystore.pem (once), and other-ca.crt, which signed nothing."""
    paths = {"ca": folder / "ca.crt", "keystore": folder / "keystore.pem"}
    paths = {name: str(path) for name, path in paths.items()}
    if os.path.exists(paths["keystore"]):
        return paths
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("ca", "other-ca"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN=shop local {name}",
        )  # fmt: skip
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes",
        "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost",
    )  # fmt: skip
    (folder / "broker.ext").write_text(EXTENSIONS, encoding="utf-8")
    _openssl(
        folder, "x509", "-req", "-in", "broker.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
        "-CAcreateserial", "-days", "3650", "-extfile", "broker.ext", "-out", "broker.crt",
    )  # fmt: skip
    _openssl(folder, "pkcs8", "-topk8", "-nocrypt", "-in", "broker.key", "-out", "broker.p8")
    parts = [(folder / name).read_bytes() for name in ("broker.p8", "broker.crt", "ca.crt")]
    partial = folder / "keystore.partial"
    partial.write_bytes(b"".join(parts))
    os.replace(partial, paths["keystore"])
    return paths
