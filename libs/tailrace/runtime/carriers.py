"""Which bus a process speaks to: Kafka where brokers are named, one within the process otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.bus.base import Bus
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.bus.memory import MemoryBus
from tailrace.core.errors import Invalid
from tailrace.runtime.settings import KafkaSettings


@asynccontextmanager
async def open_bus(settings: KafkaSettings, *, client_id: str) -> AsyncIterator[Bus]:
    """The bus for as long as the scope lasts; it opens while the brokers are down.

    :raises Invalid: the settings for Kafka cannot work.
    """
    if settings.kafka_bootstrap is None:
        yield MemoryBus()
        return
    async with KafkaBus.open(kafka_access(settings, client_id=client_id)) as bus:
        yield bus


def kafka_access(settings: KafkaSettings, *, client_id: str) -> KafkaAccess:
    """How the brokers are reached.

    :raises Invalid: none are named.
    """
    if settings.kafka_bootstrap is None:
        raise Invalid("no Kafka is named: set TAILRACE_KAFKA_BOOTSTRAP to host:port, several by commas")
    password = settings.kafka_password
    return KafkaAccess(
        bootstrap=settings.kafka_bootstrap,
        client_id=client_id,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=password.get_secret_value() if password else None,
        ca_file=settings.kafka_ca_file,
        cert_file=settings.kafka_cert_file,
        key_file=settings.kafka_key_file,
    )
