"""A mail server that keeps every message instead of sending it.

Runs as a process of its own:  mailsink.py FOLDER SMTP-PORT HTTP-PORT [ADDRESS]   (127.0.0.1)
                               mailsink.py --health HTTP-PORT: does one answer there?

  GET    /healthz
  GET    /mails[?to=ADDRESS]   {"mails": [...]}, oldest first, with text body
  DELETE /mails                forgets all
  GET    /mails/N.eml          the message as it came
  PUT    /reply                body "451 try later": the answer to every DATA from now on;
                               "wait 12": each is kept and answered after so many seconds;
                               "RCPT 550 who?", "QUIT wait 12": the same for MAIL, RCPT or QUIT, a line each;
                               an empty body accepts at once again
  GET    /reply                {"refused": how often such an answer was given}
"""

import asyncio
import email
import email.policy
import http.server
import json
import pathlib
import re
import signal
import sys
import threading
import urllib.parse
import urllib.request

from aiosmtpd.controller import Controller

NAME = "mail"


class Box:
    """Messages as files N.eml, numbered in the order of arrival."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.replies, self.refused = {}, 0
        self.last = max((int(p.stem) for p in self.folder.glob("*.eml")), default=0)

    def add(self, envelope):
        with self.lock:
            self.last += 1
            number = self.last
        head = "".join(f"X-Envelope-To: {to}\r\n" for to in envelope.rcpt_tos)
        (self.folder / "partial").mkdir(exist_ok=True)
        partial = self.folder / "partial" / f"{number}"
        partial.write_bytes(head.encode() + envelope.content)
        partial.rename(self.folder / f"{number}.eml")

    def list(self, to=None):
        numbers = sorted(int(p.stem) for p in self.folder.glob("*.eml"))
        mails = [self._describe(number) for number in numbers]
        return [mail for mail in mails if to is None or to in mail["to"]]

    def _describe(self, number):
        raw = (self.folder / f"{number}.eml").read_bytes()
        message = email.message_from_bytes(raw, policy=email.policy.default)
        body = message.get_body(preferencelist=("plain", "html"))
        return {
            "id": number,
            "from": str(message["From"]),
            "to": [str(to) for to in message.get_all("X-Envelope-To", [])],
            "subject": str(message["Subject"]),
            "message_id": str(message["Message-ID"]),
            "date": str(message["Date"]),
            "body": body.get_content() if body else "",
        }

    def clear(self):
        for path in self.folder.glob("*.eml"):
            path.unlink()


def replies(text):
    """{command: its answer}"""
    found = (re.fullmatch(r"(?:(MAIL|RCPT|QUIT) )?(.+)", line) for line in text.splitlines())
    return {one[1] or "DATA": one[2] for one in found if one}


class Smtp:
    """Names and arguments of handle_*() are fixed by aiosmtpd."""

    def __init__(self, box):
        self.box = box

    async def answer(self, command, ordinary, accept=lambda: None):
        reply = self.box.replies.get(command, "")
        waits = re.fullmatch(r"wait (\d+)", reply)
        if reply and not waits:
            self.box.refused += 1
            return reply
        accept()
        if waits:
            await asyncio.sleep(int(waits[1]))
        return ordinary

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        return await self.answer("MAIL", "250 OK", lambda: setattr(envelope, "mail_from", address))

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        return await self.answer("RCPT", "250 OK", lambda: envelope.rcpt_tos.append(address))

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        return await self.answer("DATA", "250 kept", lambda: self.box.add(envelope))

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802
        return await self.answer("QUIT", "221 Bye")


def handler_for(box):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, content, kind="application/json"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):  # noqa: N802
            url = urllib.parse.urlsplit(self.path)
            one = re.fullmatch(r"/mails/(\d+)\.eml", url.path)
            if url.path == "/healthz":
                self.answer(200, b"{}")
            elif url.path == "/reply":
                self.answer(200, json.dumps({"refused": box.refused}).encode())
            elif url.path == "/mails":
                to = urllib.parse.parse_qs(url.query).get("to", [None])[0]
                self.answer(200, json.dumps({"mails": box.list(to)}).encode())
            elif one and (box.folder / f"{one[1]}.eml").exists():
                self.answer(200, (box.folder / f"{one[1]}.eml").read_bytes(), "message/rfc822")
            else:
                self.answer(404, b'{"error": "see /mails"}')

        def do_DELETE(self):  # noqa: N802
            box.clear()
            self.answer(200, b"{}")

        def do_PUT(self):  # noqa: N802
            length = int(self.headers.get("Content-Length") or 0)
            box.replies = replies(self.rfile.read(length).decode())
            self.answer(200, b"{}")

        def log_message(self, *args):
            pass

    return Handler


def start(store, smtp_port, http_port):
    """Called by the stack: this file again, as a process."""
    return store.start(
        NAME,
        argv=["/usr/bin/python3", __file__, str(store.layout.mail), str(smtp_port), str(http_port)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        cwd="/",
        kind=NAME,
        port=smtp_port,
        http=f"http://127.0.0.1:{http_port}",
    )


def healthy(http_port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/healthz", timeout=3):
            return True
    except OSError:
        return False


def main(folder, smtp_port, http_port, address="127.0.0.1"):
    box = Box(folder)
    smtp = Controller(Smtp(box), hostname=address, port=int(smtp_port))
    smtp.start()
    server = http.server.ThreadingHTTPServer((address, int(http_port)), handler_for(box))
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    smtp.stop()


if __name__ == "__main__":
    if sys.argv[1] == "--health":
        sys.exit(0 if healthy(sys.argv[2]) else 1)
    main(*sys.argv[1:])
