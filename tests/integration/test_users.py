"""Reading users in a crowd: what is answered is never older than the request."""

import threading

import pytest


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
