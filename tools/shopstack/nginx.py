"""nginx without privileges: the static frontend, and /api passed on to the gateway."""

import getpass
import os
import shutil

from .layout import ROOT
from .ui import StackError

NAME = "nginx"


def start(store, port, gateway_port):
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not program:
        raise StackError("nginx is missing; run tools/install run")
    layout = store.layout
    (layout.nginx / "tmp").mkdir(parents=True, exist_ok=True)
    template = (ROOT / "tools" / "shopstack" / "nginx.conf.in").read_text(encoding="utf-8")
    values = {
        "@PORT@": str(port),
        "@GATEWAY@": f"127.0.0.1:{gateway_port}",
        "@ROOT@": str(ROOT / "frontend"),
        "@DIR@": str(layout.nginx),
        "@LOG@": str(layout.log_dir / "nginx-access.log"),
        # Only root may choose the workers' user; the files belong to whoever starts the stack.
        "@USER@": f"user {getpass.getuser()};" if os.geteuid() == 0 else "",
    }
    for mark, value in values.items():
        template = template.replace(mark, value)
    (layout.nginx / "nginx.conf").write_text(template, encoding="utf-8")
    return store.start(
        NAME,
        argv=[program, "-c", str(layout.nginx / "nginx.conf"), "-e", "stderr"],
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
        cwd=str(layout.nginx),
        kind=NAME,
        port=port,
    )
