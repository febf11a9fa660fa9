"""Fixtures: the engine, the images as `make images` builds them, and a running shop (compose_shop.py)."""

import contextlib
import signal
import threading

import engine as engines
import pytest
from compose_shop import Shop


def pytest_configure(config):
    # Whoever ends a run early must not leave containers behind: fixtures clean up, as after Ctrl-C.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", 143))


@pytest.fixture(scope="session")
def engine():
    chosen = engines.choose()
    with chosen.serving() if chosen.name == "podman" else contextlib.nullcontext():
        yield chosen


@pytest.fixture(scope="session")
def images(engine):
    """All images, built now (from the cache when nothing changed), or those of IMAGES_TAG."""
    if not engines.GIVEN:
        engine.images("--tag", engines.TAG)
    return engine


@pytest.fixture(scope="session")
def third_party(images):
    """The images that compose names besides ours."""
    if images.name == "podman" and not engines.GIVEN:
        engines.run(engines.HERE / "stand-in", "mysql", "kafka", "nginx-unprivileged", "prometheus", "alertmanager")


@pytest.fixture(scope="session")
def files(images):
    """NAME -> files of its image, read once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = images.files(engines.reference(name))
        return known[name]

    return of


@pytest.fixture(scope="session")
def shop(images, third_party, tmp_path_factory):
    """One shop for the whole run, up and with its demo data."""
    one = Shop(images, tmp_path_factory.mktemp("shop"))
    try:
        one.up()
        yield one
    finally:
        one.close()


@pytest.fixture
def new_shop(images, third_party, tmp_path_factory):
    """One's own, not started."""
    with contextlib.ExitStack() as made:

        def make(**settings):
            one = Shop(images, tmp_path_factory.mktemp("shop"), **settings)
            made.callback(one.close)
            return one

        yield make
