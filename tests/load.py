"""Buyers that place orders all the time, as tests of faults want them."""

import secrets
import threading
import time

import requests


class Buyers:
    """`with Buyers(stack, users, products) as load:` orders until the block ends.

    retry=True: like a good client, each order is tried again under its key until it is answered with
    201 or `patience` seconds are over.  retry=False: one try, and `failures` has what did not get a 201.
    """

    def __init__(self, stack, users, products, threads=8, retry=True, patience=60):
        self.stack, self.users, self.products = stack, users, products
        self.retry, self.patience = retry, patience
        self.placed, self.failures = {}, []  # key -> the 201's body
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._buy, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(self.patience + 30)
        assert not any(thread.is_alive() for thread in self.threads)

    def _buy(self, n):
        http = requests.Session()
        turn = n
        while not self.stop.is_set():
            turn += len(self.threads)
            key = secrets.token_hex(12)
            body = {
                "user_id": self.users[turn % len(self.users)],
                "product_id": self.products[turn % len(self.products)], "quantity": 1,
            }  # fmt: skip
            self._place(http, key, body)

    def _place(self, http, key, body):
        until = time.monotonic() + self.patience
        while True:
            answer = self._try(http, key, body)
            if isinstance(answer, dict):
                self.placed[key] = answer
                return
            if not self.retry or time.monotonic() > until:
                self.failures.append(answer)
                return
            time.sleep(0.05)

    def _try(self, http, key, body):
        """The 201's body, or what came instead."""
        headers = {"Idempotency-Key": key}
        try:
            answer = http.post(f"{self.stack.gateway}/api/orders", json=body, headers=headers, timeout=10)
        except requests.RequestException as error:
            return repr(error)
        return answer.json() if answer.status_code == 201 else f"{answer.status_code} {answer.text}"
