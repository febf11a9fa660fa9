"""tools/stack itself: what people, tests and benchmarks build on."""

import json
import signal
import stat
import subprocess

import pytest
from alone import free_port
from proxy import Proxy
from shop_stack import MODE, TOOL, Stack, runs, until


@pytest.fixture
def servers(new_stack):
    """MariaDB, Kafka and mail only: quick."""
    return new_stack(programs=[], seed=False)


def status(shop):
    return shop.tool("status", check=False).stdout


def made(shop):
    """When the servers' folders were made: inode and time of a file that is written once."""
    found = [*shop.dir.glob("mysql/complete"), *shop.dir.glob("kafka*/**/meta.properties")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_down_and_up_again_keeps_data_and_ports(servers):
    before, folders = servers.json, made(servers)
    assert len(folders) == 2
    servers.down()
    assert "running" not in status(servers)
    assert servers.tool("down").returncode == 0  # nothing to do is no error
    servers.up(programs=[], seed=False)
    assert made(servers) == folders
    assert servers.json["mysql"] == before["mysql"]
    assert servers.json["kafka"] == before["kafka"]


def test_up_again_says_that_it_runs(servers):
    args = ["--programs", "none", "--no-seed", "--mode", MODE]
    assert "already running" in servers.tool("up", *args).stderr
    other = servers.tool("up", *args, "--auth", "required", check=False)
    assert other.returncode == 1 and "other options (auth)" in other.stderr


def test_kill_and_start_of_a_server(servers):
    pid = servers.instances("mysql")[0]["pid"]
    servers.kill("mysql")
    assert not runs(pid)
    assert "mysql" in status(servers) and "stopped" in status(servers)
    servers.start("mysql")
    assert servers.instances("mysql")[0]["pid"] != pid
    assert servers.sql("order-svc", "SELECT 1") == ((1,),)


def test_topics_are_as_written(servers):
    topics = servers.kafka_consumer().list_topics(timeout=10).topics
    for name, partitions in servers["topics"].items():
        assert len(topics[name].partitions) == partitions == 12


def test_accounts_have_only_their_rights(servers):
    with pytest.raises(Exception, match="denied"):
        servers.sql("order-svc", "CREATE TABLE t (a INT)", write=True)
    with pytest.raises(Exception, match="denied"):
        servers.sql("order-svc", "SELECT * FROM shop_user.users", write=True)
    with pytest.raises(Exception, match="denied"):
        servers.sql("order-svc", "DELETE FROM mysql.user")


def test_secrets_are_for_the_owner_only(servers):
    files = [servers.dir / "state.json", servers.dir / "stack.json", *(servers.dir / "secrets").iterdir()]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_wrong_setting_is_named_and_nothing_is_left(tmp_path):
    shop = Stack(tmp_path / "s")
    args = ["--programs", "order-svc", "--env", "order-svc:RELAY_BATCH=many", "--mode", MODE]
    failed = shop.tool("up", *args, check=False)
    assert failed.returncode == 1 and "RELAY_BATCH" in failed.stderr
    processes = json.loads((shop.dir / "state.json").read_text())["processes"]
    assert processes
    assert not any(runs(entry["pid"]) for entry in processes.values())


def test_run_in_the_foreground_ends_with_ctrl_c(tmp_path):
    command = [TOOL, "run", "--dir", str(tmp_path / "s"), "--mode", MODE]
    # A runner that was started in the background hands an ignored SIGINT down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        output = ""
        for line in run.stdout:
            output += line
            if "Ctrl-C" in line:
                break
        assert "curl -X POST http://127.0.0.1:" in output
        run.send_signal(signal.SIGINT)
        output += run.stdout.read()
        assert run.wait(60) == 0, output
    assert "stopped 11 processes" in output
    state = json.loads((tmp_path / "s" / "state.json").read_text())
    words = [state["logins"]["demo"], state["logins"]["admin"]]
    assert words == [1, 2]
    secrets = [path.read_text().strip() for path in (tmp_path / "s" / "secrets").iterdir()]
    assert not any(secret in output for secret in secrets)


def test_programs_reach_kafka_only_through_the_proxy(new_stack):
    behind = free_port()
    proxy = Proxy(behind)
    try:
        shop = new_stack(programs=["notify-svc"], seed=False, options=["--kafka-proxy", f"{proxy.port}:{behind}"])
        assert shop["kafka"]["proxy"] == shop.env("notify-svc")["KAFKA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{proxy.port}"

        def lag():
            return shop.metric("notify-svc", "shop_kafka_consumer_lag_messages")

        until(lambda: proxy.links and lag() == 0)
        # Us it cannot stop: our way is the direct one.
        proxy.refuse()
        producer = shop.kafka_producer()
        producer.produce("orders-events", key=b"1", value=b"{}")
        assert producer.flush(20) == 0
        assert lag() == 0 and proxy.links == set()
        proxy.accept()
        until(lambda: shop.metric("notify-svc", "shop_events_poison_total"), 30)
    finally:
        proxy.close()


def test_a_wrong_number_of_proxies_is_refused(tmp_path):
    args = ["--kafka-proxy", "1:2", "--kafka-nodes", "3"]
    assert "a broker" in Stack(tmp_path / "s").tool("up", *args, check=False).stderr


def test_three_brokers_of_which_one_may_die(new_stack):
    shop = new_stack(programs=[], seed=False, options=["--kafka-nodes", "3", "--kafka-version", "4.3.1"])
    assert len(shop["kafka"]["bootstrap"].split(",")) == 3
    topics = shop.kafka_consumer().list_topics(timeout=10).topics
    partitions = [p for name in shop["topics"] for p in topics[name].partitions.values()]
    assert all(len(p.replicas) == 3 for p in partitions)
    shop.kill("kafka.2")
    producer = shop.kafka_producer()
    for user in range(50):
        producer.produce("orders-events", key=str(user).encode(), value=b"{}")
    assert producer.flush(30) == 0
    shop.start("kafka.2")
    assert len(shop.events("orders-events")) == 50
