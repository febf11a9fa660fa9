"""The whole shop by docker/compose.yaml: up, an order, kill, restart, upgrade; and that the checks can fail."""

import re
import time

import checks
import pytest
from compose_shop import ONCE, crash, host_process
from engine import PROGRAMS, ROOT, reference, run, until

SERVERS = ["mysql", "kafka", "mail-sink", "frontend"]
RUNNING = [*SERVERS, *PROGRAMS]


class TestUp:
    def test_all_healthy(self, shop):
        for service in RUNNING:
            assert shop.health(service) == "healthy", service

    def test_the_once_ended_well(self, shop):
        for service in ONCE:
            state = shop.state(service)
            assert (state["Status"], state["ExitCode"]) == ("exited", 0), shop.logs(service)

    def test_demo_data(self, shop):
        products = shop.api("GET", "/api/products?limit=100").json()["products"]
        assert len(products) > 20
        users = shop.api("GET", "/api/users").json()["users"]
        assert users[0]["email"] == "demo@example.com" and users[0]["user_id"] == 1
        top = shop.api("GET", "/api/analytics/flink/top-users").json()
        assert str(top).count("user_id") >= 3

    def test_the_page(self, shop):
        answer = shop.api("GET", "/")
        assert "<title>Shop</title>" in answer.text and "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]

    def test_people_sign_in(self, shop):
        for email, name in (("demo@example.com", "demo_password"), ("admin@example.com", "admin_password")):
            body = {"email": email, "password": shop.secret(name)}
            assert shop.api("POST", "/api/auth/login", at="GATEWAY", json=body).status_code == 200, email

    def test_an_order(self, shop):
        shop.works()

    def test_the_live_stream(self, shop):
        with shop.api("GET", "/api/analytics/stream", stream=True) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert next(stream.iter_lines())

    def test_again_changes_nothing(self, shop):
        before = {service: shop.id(service) for service in RUNNING}
        shop.up()
        assert {service: shop.id(service) for service in RUNNING} == before
        assert "demo data is there" in shop.logs("demo-data")


class TestFences:
    @pytest.mark.parametrize("service", RUNNING)
    def test_settings(self, shop, service):
        assert not checks.container_settings(shop.inspect(service))

    @pytest.mark.parametrize("service", RUNNING)
    def test_rights(self, shop, service):
        assert not checks.process_rights(host_process(shop.state(service)["Pid"]))

    def test_secrets_are_their_owners(self, shop):
        """Each service has the secrets that it needs, and nothing but these."""
        wanted = {
            "gateway": {"service_secret"}, "processor": set(), "frontend": set(), "kafka": set(),
            "order-svc": {"service_secret", "mysql_shop_order"}, "user-svc": {"service_secret", "mysql_shop_user"},
        }  # fmt: skip
        for service, names in wanted.items():
            mounts = [mount["Destination"] for mount in shop.inspect(service)["Mounts"]]
            assert {path.rpartition("/")[2] for path in mounts if path.startswith("/run/secrets/")} == names, service

    def test_what_is_open(self, shop):
        """On this machine: the page, the gateway, the mails; nothing of the rest."""
        bound = {service: shop.inspect(service)["HostConfig"].get("PortBindings") or {} for service in RUNNING}
        assert {service for service, ports in bound.items() if any(ports.values())} == {"frontend", "gateway", "mail-sink"}

    def test_the_checks_can_fail(self, shop):
        """A container as anybody starts it."""
        name = f"{shop.project}-bare"
        more = ["-e", "DB_PASSWORD=secret", "-p", "18999:8080", "--user", "0", "--entrypoint", "python3"]
        shop.engine.call("run", "-d", "--name", name, *more, reference("mail-sink"), "-c", "import time; time.sleep(600)")
        try:
            found = shop.engine.inspect("container", name)
            bad = " ".join(checks.container_settings(found))
            for what in ("root can be written", "no memory", "no CPU", "open on", "DB_PASSWORD"):
                assert what in bad
            bad = " ".join(checks.process_rights(host_process(found["State"]["Pid"])))
            for what in ("root", "CapEff", "privileges"):
                assert what in bad
        finally:
            shop.engine.call("rm", "-f", name)


class TestLogs:
    def test_nothing_alarming(self, shop):
        found = {service: checks.alarming(shop.logs(service)) for service in [*RUNNING, *ONCE]}
        assert not {service: lines for service, lines in found.items() if lines}

    def test_nor_does_compose_say_anything_alarming(self, shop):
        assert shop.said
        assert not checks.alarming(shop.said)

    def test_the_check_can_fail(self):
        alarms = [
            '{"ts":"2026-01-01T00:00:00Z","level":"warn","msg":"no connection"}',
            "2026-01-01T00:00:00.0Z 0 [ERROR] [MY-010119] [Server] Aborting",
            "[2026-01-01 00:00:00,000] WARN Something (kafka.Server)",
            "Traceback (most recent call last):",
            # What either compose says when something is missing.
            "WARNING: The TAG variable is not set. Defaulting to a blank string.",
            'time="2026-01-01T00:00:00Z" level=warning msg="The \\"TAG\\" variable is not set."',
        ]
        assert checks.alarming("\n".join(alarms)) == alarms
        assert not checks.alarming('{"level":"info","msg":"no error at all"}\n[Note] ready for connections')

    def test_no_secret_in_any_log(self, shop):
        names = [path.name for path in (shop.dir / "secrets").iterdir()]
        for service in [*RUNNING, *ONCE]:
            log = shop.logs(service)
            assert not [name for name in names if shop.secret(name) in log], service


class TestTrouble:
    @pytest.mark.parametrize("service", ["order-svc", "processor", "gateway", "kafka", "mysql"])
    def test_a_container_dies(self, shop, service):
        """It is back by itself, and what was promised holds."""
        before = shop.total()
        crash(shop.state(service)["Pid"])
        until(lambda: shop.health(service) != "healthy" or shop.inspect(service)["RestartCount"], 30, "the end")
        shop.wait_healthy(service)
        shop.wait_healthy()
        until(lambda: shop.total() >= before, 60, "the totals")
        shop.works()

    def test_restart_all(self, shop):
        before = shop.total()
        shop.compose("restart", "-t", "30", *RUNNING)
        shop.wait_healthy()
        until(lambda: shop.total() == before, 60, "the totals")
        shop.works()

    def test_upgrade_one(self, shop):
        """order-svc of another version in the place of the running one; nothing else is touched."""
        shop.engine.images("--tag", "next", "order-svc", env={"VERSION": "upgrade-test"})
        others = {service: shop.id(service) for service in RUNNING if service != "order-svc"}
        old = shop.state("order-svc")["Pid"]
        try:
            began = time.monotonic()
            shop.compose("up", "-d", "--no-deps", "order-svc", env={"TAG": "next"})
            shop.wait_healthy("order-svc")
            print(f"upgraded in {time.monotonic() - began:.1f} s")
            assert shop.state("order-svc")["Pid"] != old
            said = shop.engine.call("exec", shop.id("order-svc"), "/usr/bin/order-svc", "--version").stdout
            assert "upgrade-test" in said
            assert {service: shop.id(service) for service in others} == others
            shop.works()
        finally:
            shop.compose("up", "-d", "--no-deps", "order-svc")
            shop.wait_healthy("order-svc")
            shop.engine.call("rmi", reference("order-svc", "next"), check=False)
        shop.works()


class TestRefusals:
    def test_a_failed_migration_stops_the_start(self, new_shop):
        """The service that would use the schema is not started, and compose says so."""
        shop = new_shop()
        shop.compose("up", "-d", "mysql")
        shop.wait_healthy("mysql")
        (shop.dir / "secrets" / "mysql_shop_order_ddl").write_text("not the password", encoding="utf-8")
        done = shop.compose("up", "-d", "migrate-order-svc", "order-svc", check=False)
        assert done.returncode != 0
        assert "Access denied" in shop.logs("migrate-order-svc")
        running = shop.engine.call("ps", "--format", "{{.Names}}").stdout
        assert not re.search(rf"{shop.project}[-_]order-svc", running)

    def test_an_unhealthy_dependency_stops_the_start(self, new_shop):
        shop = new_shop()
        text = (shop.dir / "compose.yaml").read_text(encoding="utf-8")
        check = "[CMD, mysqladmin, ping, --silent, -h, 127.0.0.1, -u, root], start_period: 120s"
        broken = text.replace(check, "[CMD, 'false'], start_period: 1s, interval: 1s")
        assert broken != text
        (shop.dir / "compose.yaml").write_text(broken, encoding="utf-8")
        assert shop.compose("up", "-d", "migrate-user-svc", check=False).returncode != 0


class TestSetup:
    def test_secrets_are_random_and_kept(self, new_shop):
        one, other = new_shop(), new_shop()
        names = sorted(path.name for path in (one.dir / "secrets").iterdir())
        assert len(names) == 12 and all(len(one.secret(name)) >= 32 for name in names)
        assert len({shop.secret(name) for shop in (one, other) for name in names}) == 2 * len(names)
        before = {name: one.secret(name) for name in names}
        run(one.dir / "setup")
        assert {name: one.secret(name) for name in names} == before
        assert (one.dir / "secrets").stat().st_mode & 0o777 == 0o700

    def test_git_ignores_them(self):
        assert run("git", "check-ignore", "docker/.env", "docker/secrets/mysql_root", cwd=ROOT).returncode == 0

    def test_every_setting_of_env_is_used(self):
        """And every variable of the compose files is in .env.example."""
        example = (ROOT / "docker" / ".env.example").read_text(encoding="utf-8")
        given = set(re.findall(r"^([A-Z_]+)=", example, re.M)) - {"COMPOSE_PROJECT_NAME"}
        files = ("compose.yaml", "compose.observability.yaml")
        text = "".join((ROOT / "docker" / name).read_text(encoding="utf-8") for name in files)
        assert set(re.findall(r"\$\{([A-Z_]+)", text)) == given
