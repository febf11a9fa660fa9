"""Who asks: the gateway believes X-Forwarded-For of trusted proxies alone, and the frontend's nginx tells it whom it serves.

Of this machine's addresses 127.0.0.1 is anybody, and 127.0.0.2 the proxy.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess

import pytest
from alone import free_port
from gateway_rig import Conn, Gateway, Upstream, always, reply
from shop_stack import ROOT, until
from test_settings import run

OK = reply(b"ok")
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
PROXY, STRANGER = "127.0.0.2", "127.0.0.1"


class Seen:
    """An upstream that keeps the heads that it got."""

    def __init__(self):
        self.heads = []
        self.upstream = Upstream(self._run)

    def _run(self, conn, up):
        while True:
            _, _, fields, _ = conn.request()
            self.heads.append(fields)
            conn.send(OK)

    def last(self, name):
        return [value for key, value in self.heads[-1] if key == name]


@pytest.fixture
def seen():
    one = Seen()
    with one.upstream:
        yield one


def ask(gw, source, *fields, port=None, path="/x"):
    """The line of the access log that one request from there makes."""
    with connection(port or gw.http, source) as conn:
        return asked(gw, conn, *fields, path=path)


@contextlib.contextmanager
def connection(port, source):
    with socket.create_connection((STRANGER, port), source_address=(source, 0)) as sock:
        yield Conn(sock)


def asked(gw, conn, *fields, path="/x"):
    mine = secrets.token_hex(8)
    lines = (f"GET {path} HTTP/1.1", "Host: shop", f"X-Request-Id: {mine}", *fields, "")
    conn.send("".join(f"{line}\r\n" for line in lines))
    conn.response()
    found = lambda: [line for line in gw.log_lines() if line["request_id"] == mine]  # noqa: E731
    return until(found, 10, "a line of the access log")[0]


def told(gw, source, *fields):
    line = ask(gw, source, *fields)
    return line["client"], line["peer"]


def test_nobody_is_trusted_by_default(seen):
    with Gateway({"/x": seen.upstream}) as gw:
        for source in (PROXY, STRANGER):
            assert told(gw, source, "X-Forwarded-For: 6.6.6.6") == (source, source)
            assert seen.last("x-forwarded-for") == [source]


def test_only_a_trusted_proxy_is_believed(seen):
    with Gateway({"/x": seen.upstream}, TRUSTED_PROXIES=f"{PROXY}/32, ::1/128") as gw:
        assert told(gw, PROXY, "X-Forwarded-For: 192.0.2.1") == ("192.0.2.1", PROXY)
        assert seen.last("x-forwarded-for") == [f"192.0.2.1, {PROXY}"]
        assert told(gw, STRANGER, "X-Forwarded-For: 192.0.2.1") == (STRANGER, STRANGER)
        assert seen.last("x-forwarded-for") == [STRANGER]
        assert told(gw, PROXY) == (PROXY, PROXY)
        assert seen.last("x-forwarded-for") == [PROXY]


def test_what_a_client_says_to_the_proxy_is_not_believed(seen):
    with Gateway({"/x": seen.upstream}, TRUSTED_PROXIES=f"{PROXY}/32,10.0.0.0/8") as gw:
        assert told(gw, PROXY, "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.3") == ("192.0.2.1", PROXY)
        assert seen.last("x-forwarded-for") == [f"192.0.2.1, {PROXY}"]
        assert told(gw, PROXY, "X-Forwarded-For: 10.0.0.9", "X-Forwarded-For: [2001:db8::1]:443") == ("2001:db8::1", PROXY)
        assert told(gw, PROXY, "X-Forwarded-For: 192.0.2.1, me") == (PROXY, PROXY)
        assert seen.last("x-forwarded-for") == [PROXY]
        for other in ("X-Real-IP", "Forwarded", "X_Forwarded_For", "X-Forwarded"):
            assert told(gw, PROXY, f"{other}: 6.6.6.6") == (PROXY, PROXY)


def test_each_request_of_a_connection_has_its_own_client(seen):
    with Gateway({"/x": seen.upstream}, TRUSTED_PROXIES=PROXY) as gw, connection(gw.http, PROXY) as conn:
        assert asked(gw, conn, "X-Forwarded-For: 192.0.2.1")["client"] == "192.0.2.1"
        assert asked(gw, conn)["client"] == PROXY
        assert asked(gw, conn, "X-Forwarded-For: 192.0.2.2")["client"] == "192.0.2.2"


def test_refused_requests_are_logged_with_their_client_too(seen):
    with Gateway({"/x": (seen.upstream, {"who": ["user"]})}, TRUSTED_PROXIES=PROXY) as gw:
        for path, status in (("/nothing", 404), ("/x", 401)):
            line = ask(gw, PROXY, "X-Forwarded-For: 192.0.2.1", path=path)
            assert (line["client"], line["status"]) == ("192.0.2.1", status)


def test_our_own_services_speak_for_themselves(seen):
    with Gateway({"/x": seen.upstream}, TRUSTED_PROXIES=PROXY) as gw:
        line = ask(gw, PROXY, "X-Forwarded-For: 192.0.2.1", port=gw.internal)
        assert (line["listener"], line["client"]) == ("internal", PROXY)


@pytest.mark.parametrize("part", ["10.0.0.0/33", "10.0.0.1/8", "0.0.0.0/0", "nginx", "fd00::/129"])
def test_a_bad_network_stops_the_start(part):
    for args in ([], ["--check-config"]):
        done = run("gateway", *args, TRUSTED_PROXIES=f"192.0.2.0/24,{part}")
        assert done.returncode == 2
        assert f"TRUSTED_PROXIES: '{part}'" in done.stderr


# ---- the frontend's nginx ----


def image_conf(folder, port, gateway):
    """What the image's entrypoint makes of its template, inside of a whole configuration."""
    text = (ROOT / "docker" / "nginx" / "default.conf.template").read_text(encoding="utf-8")
    for name, value in (("NGINX_LOCAL_RESOLVERS", "127.0.0.1"), ("GATEWAY", gateway)):
        text = text.replace("${" + name + "}", value)
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/usr/share/nginx/html", str(ROOT / "frontend"))
    temps = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temps}{text}}}\n"


def stack_conf(folder, port, gateway):
    text = (ROOT / "tools" / "shopstack" / "nginx.conf.in").read_text(encoding="utf-8")
    values = {"@PORT@": port, "@GATEWAY@": gateway, "@ROOT@": ROOT / "frontend", "@DIR@": folder, "@LOG@": "off"}
    for mark, value in values.items():
        text = text.replace(mark, str(value))
    return text.replace("daemon off;", "").replace("@USER@", "")


@contextlib.contextmanager
def nginx(conf, folder, gateway):
    (folder / "tmp").mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(conf(folder, port, f"127.0.0.1:{gateway}"), encoding="utf-8")
    argv = [NGINX, "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off; master_process off;"]
    child = subprocess.Popen(argv)

    def listens():
        assert child.poll() is None
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    try:
        until(listens, 10, "nginx")
        yield port
    finally:
        child.terminate()
        child.wait(10)


@pytest.mark.skipif(not NGINX, reason="needs nginx")
@pytest.mark.parametrize("conf", [image_conf, stack_conf], ids=["image", "stack"])
def test_nginx_says_whom_it_serves_and_believes_nobody(tmp_path, seen, conf):
    paths = ("/api/x", "/api/analytics/stream")
    with Gateway(dict.fromkeys(paths, seen.upstream), TRUSTED_PROXIES="127.0.0.0/8") as gw:
        with nginx(conf, tmp_path, gw.http) as port:
            for path in paths:
                line = ask(gw, "127.0.0.3", "X-Forwarded-For: 6.6.6.6", port=port, path=path)
                assert (line["path"], line["client"], line["peer"]) == (path, "127.0.0.3", "127.0.0.1")
                assert seen.last("x-forwarded-for") == ["127.0.0.3, 127.0.0.1"]


@pytest.mark.skipif(not NGINX, reason="needs nginx")
@pytest.mark.parametrize("conf", [image_conf, stack_conf], ids=["image", "stack"])
def test_nginx_leaves_an_etag_strong(tmp_path, conf):
    """Compressed, it would be a weak one, with which nobody could change a product."""
    answer = reply(b'{"name":"' + b"x" * 5000 + b'"}', extra='Content-Type: application/json\r\nETag: "3"\r\n')
    with Upstream(always(answer)) as up, Gateway({"/api/x": up}) as gw, nginx(conf, tmp_path, gw.http) as port:
        conn = Conn(socket.create_connection(("127.0.0.1", port)))
        conn.send("GET /api/x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        assert dict(conn.response()[1])["etag"] == '"3"'
        conn.close()
