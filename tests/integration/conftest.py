"""What several files of integration tests need."""

import pytest
from kafka_proxy import KafkaProxy
from processor_alone import Alone


@pytest.fixture
def alone(stack, tmp_path):
    """The processor alone; the tests of other programs have a fixture of the same name."""
    one = Alone(stack, tmp_path)
    yield one
    one.close()


@pytest.fixture
def proxy(stack):
    """Stands before the shared broker for whoever is sent to its port."""
    one = KafkaProxy(int(stack["kafka"]["bootstrap"].rpartition(":")[2]))
    yield one
    one.close()
