"""The first administrator: made by a command, as no HTTP request may."""

import secrets
import subprocess


def test_an_admin_by_a_password_file(stack, tmp_path):
    """For containers: nobody can type there."""
    email, file = f"t-{secrets.token_hex(6)}@example.com", tmp_path / "password"
    command = [stack.binary("user-svc"), "--create-admin", email, "Second Admin", file]

    def call():
        env = stack.env("user-svc")
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    missing = call()
    assert missing.returncode == 1 and str(file) in missing.stderr
    file.write_text("")
    assert call().returncode == 1
    file.write_text("a long password\n")
    for _ in range(2):  # again changes nothing
        assert call().returncode == 0
        answer = stack.api("POST", "/api/auth/login", json={"email": email, "password": "a long password"})
        assert answer.json()["user"]["role"] == "admin"
