"""Reading users in a crowd: what is answered is never older than the request. Who may change them: an admin's
token is no proof that he still is one."""

import secrets
import threading

import pytest
import requests


@pytest.fixture
def crowd(stack):
    """Readers of the same things all the while."""
    stop, failed = threading.Event(), []

    def start(*paths):
        def read(path):
            while not stop.is_set():
                answer = stack.api("GET", path, token="admin")
                if answer.status_code not in (200, 404):
                    failed.append(answer.text)
                    return

        threads = [threading.Thread(target=read, args=(path,)) for path in paths for _ in range(4)]
        for thread in threads:
            thread.start()
        return threads

    threads = []
    yield lambda *paths: threads.extend(start(*paths))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


def test_who_changed_something_sees_it(stack, crowd):
    user, token = stack.new_user()
    page = f"/api/users?limit=1&cursor=u{user - 1:x}" if user > 1 else "/api/users?limit=1"
    crowd(f"/api/users/{user}", page)
    for n in range(60):
        name = f"Name {n}"
        assert stack.api("PATCH", f"/api/users/{user}", token=token, json={"name": name}).status_code == 200
        assert stack.api("GET", f"/api/users/{user}", token=token).json()["name"] == name
        assert stack.api("GET", page, token="admin").json()["users"][0]["name"] == name
    assert stack.api("DELETE", f"/api/users/{user}", token=token).status_code == 204
    gone = stack.api("GET", f"/api/users/{user}", token="admin")
    assert gone.status_code == 404 and gone.json()["code"] == "user_not_found"


def test_pages_of_users(stack):
    users = [stack.new_user()[0] for _ in range(3)]
    seen, cursor = [], ""
    while cursor is not None:
        answer = stack.api("GET", f"/api/users?limit=2{cursor}", token="admin")
        body = answer.json()
        assert answer.status_code == 200 and len(body["users"]) <= 2 and "hash" not in answer.text
        seen += [u["user_id"] for u in body["users"]]
        cursor = body["next_cursor"] and f"&cursor={body['next_cursor']}"
    assert seen == sorted(seen) and set(users) <= set(seen)
    one = stack.api("GET", f"/api/users/{users[0]}", token="admin").json()
    assert sorted(one) == ["created_at", "email", "name", "role", "user_id"]
    for bad in ("x", "%FF", "x" * 2100):
        answer = stack.api("GET", f"/api/users?cursor={bad}", token="admin")
        assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "cursor", bad


PASSWORD = "a long password"


def account(role):
    return {"name": "Test", "email": f"t-{secrets.token_hex(6)}@example.com", "password": PASSWORD, "role": role}


def new_admin(stack):
    """(id, token)"""
    body = account("admin")
    made = stack.api("POST", "/api/users", json=body, token="admin")
    assert made.status_code == 201, made.text
    signed_in = stack.api("POST", "/api/auth/login", json={"email": body["email"], "password": PASSWORD})
    return made.json()["user_id"], signed_in.json()["access_token"]


@pytest.mark.parametrize("how", ["demoted", "deleted"])
def test_an_admin_no_more_changes_nothing(stack, how):
    (own, token), (other, _) = new_admin(stack), stack.new_user()
    change = {"json": {"role": "customer"}} if how == "demoted" else {}
    method = "PATCH" if how == "demoted" else "DELETE"
    assert stack.api(method, f"/api/users/{own}", token="admin", **change).status_code in (200, 204)
    refused = [
        ("PATCH", own, {"role": "admin"}), ("PATCH", own, {"password": "another password"}),
        ("PATCH", other, {"name": "X"}), ("PATCH", other, {"role": "admin"}), ("PATCH", other, {"password": "X" * 9}),
        ("DELETE", other, None),
    ]  # fmt: skip
    for method, user, body in refused:
        answer = stack.api(method, f"/api/users/{user}", json=body, token=token)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, body, answer.text)
        assert "sign in again" in answer.json()["detail"]
    wanted = account("admin")
    assert stack.api("POST", "/api/users", json=wanted, token=token).status_code == 403
    rows = stack.sql(
        "user-svc", "SELECT id, name, role, deleted_at IS NULL FROM users WHERE id IN (%s, %s) OR email = %s ORDER BY id",
        own, other, wanted["email"],
    )  # fmt: skip
    role = "customer" if how == "demoted" else "admin"
    assert list(rows) == [(own, "Test", role, how == "demoted"), (other, "Test Customer", "customer", 1)]
    # The own record takes no admin.
    answer = stack.api("PATCH", f"/api/users/{own}", json={"name": "Y"}, token=token)
    assert answer.status_code == (200 if how == "demoted" else 404), answer.text


def test_admins_and_services_change_users(stack):
    own, token = new_admin(stack)
    service = {"Authorization": f"Service order-svc:{stack.secret}"}
    for headers in ({"Authorization": f"Bearer {token}"}, service):

        def call(method, path, body=None, headers=headers):
            url = stack.instances("user-svc")[0]["http"] + path
            return requests.request(method, url, json=body, headers=headers, timeout=20)

        made = call("POST", "/api/users", account("customer"))
        assert made.status_code == 201, made.text
        user = f"/api/users/{made.json()['user_id']}"
        changed = call("PATCH", user, {"role": "admin", "password": "another password"})
        assert changed.status_code == 200 and changed.json()["role"] == "admin"
        assert call("DELETE", user).status_code == 204
    # The last thing he does as an admin.
    assert stack.api("PATCH", f"/api/users/{own}", json={"role": "customer"}, token=token).status_code == 200


def test_of_two_admins_who_demote_each_other_one_stays(stack):
    """The second one's right is gone when its turn comes."""
    for _ in range(5):
        pair = [new_admin(stack), new_admin(stack)]
        start, ends = threading.Barrier(2), []

        def demote(user, token, start=start, ends=ends):
            start.wait()
            path = f"/api/users/{user}"
            ends.append(stack.api("PATCH", path, json={"role": "customer"}, token=token).status_code)

        threads = [threading.Thread(target=demote, args=(pair[1 - n][0], pair[n][1])) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ends) == [200, 403]
