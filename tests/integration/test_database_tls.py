"""The database over TLS, as RDS wants it: encrypted, and the server's certificate checked."""

import pytest
import requests
from alone import Process, binary
from shop_stack import MODE, Stack, until
from shopstack import tls


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """user-svc on a server that takes nobody without TLS; its migration went the same way."""
    folder = tmp_path_factory.mktemp("tls")
    tls.make(folder)
    stack = Stack()
    stack.certificates = folder
    server = [f"ssl-ca={folder}/ca.crt", f"ssl-cert={folder}/broker.crt", f"ssl-key={folder}/broker.key"]
    try:
        yield stack.up(
            programs=["user-svc"], seed=False, env=[f"user-svc:DB_SSL_CA={folder}/ca.crt"],
            options=["--mysql", *server, "require-secure-transport=ON", "bind-address=127.0.0.1,127.0.0.2"],
        )  # fmt: skip
    finally:
        stack.close()


def another(shop, folder, **settings):
    """A second user-svc with other settings."""
    env = {
        name: value for name, value in shop.env("user-svc").items() if name not in ("LISTEN", "ADMIN_LISTEN", "DB_SSL_CA")
    }
    return Process(binary("user-svc", MODE), {**env, **settings}, folder / "log", wait=False)


def why(one):
    """What /readyz says of the database."""
    try:
        answer = requests.get(f"{one.admin}/readyz", timeout=5)
    except requests.ConnectionError:
        return None
    return answer.json()["checks"].get("database")


def refused(one, reason, ready="TLS to the database fails"):
    try:
        until(lambda: why(one) == ready, 20, f"'{ready}'")
        assert reason in one.text()
    finally:
        assert one.stop() == 0


def test_a_user_over_tls(shop):
    body = {"name": "Tess", "email": "tess@example.com", "password": "a long password"}
    answer = requests.post(f"{shop.instances('user-svc')[0]['http']}/api/auth/register", json=body, timeout=10)
    assert answer.status_code == 201, answer.text
    assert shop.metric("user-svc", "shop_certificate_expiry_timestamp_seconds", 'setting="DB_SSL_CA"') > 0


def test_the_server_takes_nobody_without_tls(shop, tmp_path):
    """Else the other tests would show nothing."""
    refused(another(shop, tmp_path), "", "the database refuses the login")


def test_required_without_a_ca_is_encrypted(shop, tmp_path):
    one = another(shop, tmp_path, DB_SSL_REQUIRED="true")
    until(one.ready)
    assert one.stop() == 0


def test_a_server_that_another_ca_signed_is_refused(shop, tmp_path):
    refused(another(shop, tmp_path, DB_SSL_CA=f"{shop.certificates}/other-ca.crt"), "certificate in certificate chain")


def test_a_server_of_another_name_is_refused(shop, tmp_path):
    """It listens there too, but that address is not in its certificate."""
    refused(another(shop, tmp_path, DB_SSL_CA=f"{shop.certificates}/ca.crt", DB_HOST="127.0.0.2"), "Validation of SSL")


def test_a_server_without_tls_is_refused_when_required(stack, tmp_path):
    refused(another(stack, tmp_path, DB_SSL_REQUIRED="true"), "SSL")
