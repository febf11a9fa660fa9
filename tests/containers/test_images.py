"""The images: small, nothing in them but the program, known contents, the same at every build."""

import copy
import hashlib
import json
import re
import struct
import tarfile

import checks
import pytest
from engine import GIVEN, IMAGES, PROGRAMS, ROOT, TAG, reference, run, until

ARM64 = 183  # EM_AARCH64
# Debian with something of ours in it.
OTHERS = [name for name in IMAGES if name not in PROGRAMS]
THIRD_PARTY = ["mysql", "kafka", "nginx-unprivileged"]


def sbom_path(name):
    return f"usr/share/sbom/{name}.spdx.json"


@pytest.fixture(scope="session")
def sboms(images):
    """NAME -> the SBOM inside its image."""
    return lambda name: json.loads(images.read(reference(name), sbom_path(name)))


@pytest.mark.parametrize("name", PROGRAMS)
class TestProgram:
    def test_size(self, images, name):
        size = images.inspect("image", reference(name))["Size"]
        print(f"{name}: {size / checks.MB:.1f} MB")
        assert size <= checks.SIZE_MAX[name]

    def test_user_and_entry(self, images, name):
        config = images.inspect("image", reference(name))["Config"]
        assert config["User"] == "10001:10001"
        assert config["Entrypoint"] == [f"/usr/bin/{name}"]
        health = config.get("Healthcheck") or images.inspect("image", reference(name))["Healthcheck"]
        assert health["Test"] == ["CMD", f"/usr/bin/{name}", "--health"]

    def test_labels_say_what_the_program_says(self, images, name):
        said = images.call("run", "--rm", reference(name), "--version").stdout.split()[-1]
        assert not checks.image_labels(images.inspect("image", reference(name)), said)

    def test_no_tools_inside(self, files, name):
        assert not checks.image_files(files(name))

    def test_runs_with_nothing(self, images, name):
        """Read-only, without capabilities, network or settings: the settings are checked, and what is wrong is named."""
        rights = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
        assert images.call("run", "--rm", *rights, reference(name), "--help").stdout
        # The loader finds every library, or the program would not get as far as its settings.
        done = images.call("run", "--rm", *rights, "-e", "DRAIN_MAX_MS=soon", reference(name), check=False)
        assert done.returncode == 2 and "DRAIN_MAX_MS" in done.stderr

    def test_health_of_none(self, images, name):
        """The probe fails while nobody listens."""
        given = ["-e", "DB_USER=x", "-e", "DB_NAME=x", "-e", "SIGNING_KEY_FILE=/x"]
        given += [part for svc in ("USER", "PRODUCT", "ORDER", "NOTIFY", "ANALYTICS") for part in ("-e", f"{svc}_SVC_URL=http://x:1")]
        assert images.call("run", "--rm", *given, reference(name), "--health", check=False).returncode == 1

    def test_sbom_lists_the_files(self, files, sboms, name):
        document = sboms(name)
        assert document["spdxVersion"] == "SPDX-2.3"
        assert not checks.sbom_files(document, files(name), sbom_path(name))

    @pytest.mark.skipif(bool(GIVEN), reason="written by whoever built the images")
    def test_the_sbom_beside(self, images, files, name):
        images.images("--tag", TAG, name)  # from the cache: the last one built may be another version's
        beside = (ROOT / "build" / "images" / f"{name}.spdx.json").read_bytes()
        assert files(name)[sbom_path(name)][1] == hashlib.sha256(beside).hexdigest()

    def test_sbom_names_packages(self, sboms, name):
        purls = [ref["referenceLocator"] for package in sboms(name)["packages"] for ref in package.get("externalRefs", [])]
        libc = [purl for purl in purls if purl.startswith("pkg:deb/debian/libc6@")]
        assert len(libc) == 1 and "distro=debian-12" in libc[0] and "upstream=glibc" in libc[0]


@pytest.mark.parametrize("name", OTHERS)
class TestOthers:
    def test_labels(self, images, name):
        """The same as the programs', which say their version themselves."""
        said = images.call("run", "--rm", reference("gateway"), "--version").stdout.split()[-1]
        found = images.inspect("image", reference(name))
        assert not checks.image_labels(found, said)
        assert found["Config"]["Labels"]["org.opencontainers.image.title"] == name

    @pytest.mark.skipif(bool(GIVEN), reason="written by whoever built the images")
    def test_the_sbom_beside_names_the_packages(self, images, name):
        """Those that dpkg has inside, each in its version."""
        beside = json.loads((ROOT / "build" / "images" / f"{name}.spdx.json").read_text(encoding="utf-8"))
        assert beside["spdxVersion"] == "SPDX-2.3" and beside["packages"][0]["name"] == name
        status = images.read(reference(name), "var/lib/dpkg/status").decode()
        there = [one for one in status.split("\n\n") if "ok installed" in one]
        packages = beside["packages"][1:]
        inside = [re.findall(r"^(?:Package|Version): (.*)$", one, re.M) for one in there]
        assert sorted([one["name"], one["versionInfo"]] for one in packages) == sorted(inside)
        purls = [one["externalRefs"][0]["referenceLocator"] for one in packages]
        assert any(re.match(r"pkg:deb/debian/libc6@.*distro=debian-\d+&upstream=glibc", purl) for purl in purls)


def test_what_is_copied_is_needed(files):
    """The database's log-in plugin and its like are where they are used, and only there."""
    plugin = "libmariadb3/plugin/caching_sha2_password.so"
    for name in ("user-svc", "product-svc", "order-svc", "notify-svc"):
        assert any(path.endswith(plugin) for path in files(name)), name
        assert any(path.startswith("usr/share/shop/migrations/0001") for path in files(name)), name
    for name in PROGRAMS:
        assert "etc/ssl/certs/ca-certificates.crt" in files(name)
        assert any("libcurl" in path for path in files(name)) == (name == "notify-svc")
    assert "etc/shop/routes.json" in files("gateway")
    assert "etc/shop/topics.json" in files("processor")


def test_the_checks_can_fail(files, sboms):
    """A shell, a setuid program, a changed file, a missing one: each is noticed."""
    good, document = files("gateway"), sboms("gateway")
    shell = tarfile.TarInfo("usr/bin/sh")
    setuid = tarfile.TarInfo("usr/bin/thing")
    setuid.mode = 0o4755
    open_file = tarfile.TarInfo("etc/open")
    open_file.mode = 0o666
    bad = checks.image_files({**good, **{t.name: (t, "0") for t in (shell, setuid, open_file)}})
    assert len(bad) == 3
    own = sbom_path("gateway")
    more = {**good, "usr/lib/extra.so": (tarfile.TarInfo("usr/lib/extra.so"), "0")}
    assert checks.sbom_files(document, more, own) == ["usr/lib/extra.so is not in the SBOM"]
    less = {path: what for path, what in good.items() if path != "etc/passwd"}
    assert checks.sbom_files(document, less, own) == ["etc/passwd is in the SBOM only"]
    changed = {**good, "etc/passwd": (good["etc/passwd"][0], "0")}
    assert checks.sbom_files(document, changed, own) == ["etc/passwd has another sum"]
    orphan = copy.deepcopy(document)
    orphan["relationships"] = [r for r in orphan["relationships"] if r["relationshipType"] != "CONTAINS"]
    assert len(checks.sbom_files(orphan, good, own)) == len(document["files"])
    assert len(checks.image_labels({"Config": {"Labels": None}}, "1")) == len(checks.LABELS) + 1


def test_a_second_build_is_the_same(images, files):
    """Everything compiled and collected anew: every file of every program again with the same content."""
    images.images("--no-cache", "--tag", "again", "build")
    again = reference("build", "again")
    try:
        script = "cd /out && find . -type f -exec sha256sum {} +"
        listed = images.call("run", "--rm", "--entrypoint", "sh", again, "-c", script)
    finally:
        images.call("rmi", again)
    sums = {path.removeprefix("./"): sha256 for sha256, path in (line.split() for line in listed.stdout.splitlines())}
    for name in PROGRAMS:
        first = {
            f"{name}/{path}": sha256
            for path, (entry, sha256) in files(name).items()
            if entry.isfile() and not checks.ENGINE_FILES.match(path)
        }
        second = {path: sha256 for path, sha256 in sums.items() if path.startswith(f"{name}/")}
        assert first == second, name


def test_for_arm64(images):
    """Compiled here for there: each program and library is of the other kind, under the same layout."""
    platform = ("--platform", "linux/arm64")
    images.images(*platform, "--tag", "arm64", *PROGRAMS)
    for name in PROGRAMS:
        image = reference(name, "arm64")
        assert images.inspect("image", image)["Architecture"] == "arm64"
        with images.exported(image, *platform) as tar:
            paths = {entry.name.removeprefix("./"): entry for entry in tar if entry.isfile()}
            binaries = [path for path in paths if path == f"usr/bin/{name}" or ".so" in path]
            assert f"usr/bin/{name}" in binaries and len(binaries) > 10, name
            for path in binaries:
                head = tar.extractfile(paths[path]).read(20)
                assert head[:4] == b"\x7fELF" and struct.unpack_from("<H", head, 18)[0] == ARM64, f"{name}: {path}"
        images.call("rmi", image)


class TestFrontend:
    @pytest.fixture(scope="class")
    def page(self, images):
        """The page alone, read-only; its gateway is not there."""
        name = "shoptest-frontend"
        rights = ["--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp", "--tmpfs", "/etc/nginx/conf.d:mode=1777"]
        images.call("run", "-d", "--name", name, *rights, "-e", "GATEWAY=nowhere.invalid:8080", reference("frontend"))
        yield name
        images.call("rm", "-f", name)

    def get(self, images, page, path):
        done = images.call("exec", page, "curl", "-si", f"http://127.0.0.1:8080{path}")
        head, _, body = done.stdout.partition("\n\n")
        return head, body

    def test_user(self, images):
        assert images.inspect("image", reference("frontend"))["Config"]["User"] == "101"

    def test_starts_without_a_gateway(self, images, page):
        alive = ["exec", page, "curl", "-fs", "http://127.0.0.1:8080/healthz"]
        until(lambda: images.call(*alive, check=False).returncode == 0, 20, "nginx")
        head, _ = self.get(images, page, "/api/products")
        assert " 502 " in head.splitlines()[0]

    def test_headers(self, images, page):
        head, body = self.get(images, page, "/")
        assert " 200 " in head.splitlines()[0] and "<title>Shop</title>" in body
        for header in (
            "content-security-policy: default-src 'none'; script-src 'self';", "x-content-type-options: nosniff",
            "referrer-policy: same-origin", "cross-origin-opener-policy: same-origin", "permissions-policy: camera=()",
        ):  # fmt: skip
            assert header in head.lower()
        assert "server: nginx\n" in head.lower().replace("\r", "")

    def test_scripts_have_their_type(self, images, page):
        head, _ = self.get(images, page, "/app.js")
        assert "javascript; charset=utf-8" in head


@pytest.mark.parametrize("name", IMAGES)
def test_nobody_is_root(images, name):
    assert images.inspect("image", reference(name))["Config"]["User"].split(":")[0] not in ("", "0", "root")


def test_archives(images, tmp_path):
    """What a cluster is given: the image under its full name."""
    images.images("--tag", TAG, "--archive", tmp_path, "gateway")
    with tarfile.open(tmp_path / "gateway.tar") as tar:
        [manifest] = json.load(tar.extractfile("manifest.json"))
    assert any(tag in manifest["RepoTags"] for tag in (reference("gateway"), f"shop/gateway:{TAG}"))


def test_archives_of_all(images, tmp_path):
    """Ours, and what the local overlay and the page's Dockerfile name, for machines that pull nothing."""
    said = images.images("--tag", "dev", "--archive", tmp_path, "--dry-run").stdout.splitlines()
    assert not list(tmp_path.iterdir())
    built = [line.split()[1] for line in said if line.startswith("build ")]
    assert built == [reference(name, "dev") for name in IMAGES]
    saved = {path: image for _, image, path in (line.split() for line in said if line.startswith("save "))}
    third = {name: run(ROOT / "tests/containers/stand-in", "--reference", name).stdout.strip() for name in THIRD_PARTY}
    wanted = {name: reference(name, "dev") for name in IMAGES} | third
    assert saved == {f"{tmp_path}/{name}.tar": image for name, image in wanted.items()}
    assert named_by_the_local_overlay() <= set(wanted.values())
    nginx = re.search(r"^ARG NGINX=(.*)$", (ROOT / "docker/Dockerfile").read_text(encoding="utf-8"), re.M)[1]
    assert nginx == third["nginx-unprivileged"]


def named_by_the_local_overlay():
    """References of the images that its pods run, with the tag of `make images`."""
    found = set()
    for folder in ("base", "overlays/local"):
        for path in (ROOT / "k8s" / folder).rglob("*.yaml"):
            found |= set(re.findall(r"^ +(?:- )?image: (\S+)$", path.read_text(encoding="utf-8"), re.M))
    return {name if name.startswith("docker.io/") else f"docker.io/{name}:dev" for name in found}


def test_every_third_party_image_has_a_stand_in():
    """But for Grafana, which is in no registry of packages."""
    known = {run(ROOT / "tests/containers/stand-in", "--reference", name).stdout.strip() for name in stand_ins()}
    named = set()
    for name in ("compose.yaml", "compose.observability.yaml"):
        text = (ROOT / "docker" / name).read_text(encoding="utf-8")
        named |= {line.split()[1] for line in text.splitlines() if line.strip().startswith("image: docker.io/")}
    assert {image for image in named - known} == {"docker.io/grafana/grafana:11.6.0"}


def stand_ins():
    return run(ROOT / "tests/containers/stand-in", "--list").stdout.split()
