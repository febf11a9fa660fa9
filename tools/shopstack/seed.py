"""Accounts and demo data of a local stack: demo.py, with passwords from the stack's folder."""

import json
import subprocess

from . import programs
from .api import Api
from .demo import ADMIN, DEMO, Demo, summary, user_ids
from .layout import ROOT
from .ui import StackError


def _demo(plan):
    text = (ROOT / "tools" / "demo-data.json").read_text(encoding="utf-8")
    gateway = plan.url(plan.instances["gateway"][0])
    return Demo(gateway, json.loads(text), lambda email: _password(plan.layout, email))


def _password(layout, email):
    return layout.secret(f"login-{email.partition('@')[0]}")


def _create_admin(plan):
    """The first admin cannot be made by HTTP; its password goes in by stdin."""
    if not plan.instances.get("user-svc"):
        raise StackError("an admin can only be made together with user-svc")
    env = programs.environment(plan, "user-svc", plan.instances["user-svc"][0], 0)
    command = [str(plan.binary("user-svc")), "--create-admin", ADMIN, "Admin"]
    password = _password(plan.layout, ADMIN) + "\n"
    done = subprocess.run(
        command, env=env, cwd=ROOT, input=password, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"user-svc --create-admin failed:\n{done.stdout}{done.stderr}")


def accounts(plan, progress):
    """The demo customer (the very first account: user 1) and an admin."""
    demo = _demo(plan)
    known = plan.store.data.setdefault("logins", {})
    demo.customer()
    token = demo.login(ADMIN)
    if not token:
        _create_admin(plan)
        token = demo.login(ADMIN)
    if not token:
        raise StackError(f"cannot sign in as {ADMIN}; use a new --dir")
    if set(known) != {"demo", "admin"}:
        ids = user_ids(Api(demo.gateway, token))
        known.update(demo=ids[DEMO], admin=ids[ADMIN])
        plan.store.save()
        progress.say("demo and admin accounts made")


def logins(plan):
    """For the JSON: who can sign in, and how."""
    names = {"demo": DEMO, "admin": ADMIN}
    return {
        name: {
            "email": names[name],
            "password": _password(plan.layout, names[name]),
            "user_id": user_id,
        }
        for name, user_id in plan.store.data.get("logins", {}).items()
    }


def load(plan, progress):
    progress.say(summary(*_demo(plan).load()))
