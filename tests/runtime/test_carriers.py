from pathlib import Path

import pytest
from pydantic import SecretStr

from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.errors import Invalid
from tailrace.runtime.carriers import kafka_access
from tailrace.runtime.settings import KafkaSettings


def test_every_kafka_setting_reaches_the_client() -> None:
    settings = KafkaSettings(
        kafka_bootstrap="a:9092,b:9092",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_username="tailrace",
        kafka_password=SecretStr("hunter2"),
        kafka_ca_file=Path("ca.pem"),
        kafka_cert_file=Path("cert.pem"),
        kafka_key_file=Path("key.pem"),
    )

    assert kafka_access(settings, client_id="tailrace-executor") == KafkaAccess(
        bootstrap="a:9092,b:9092",
        client_id="tailrace-executor",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username="tailrace",
        password="hunter2",
        ca_file=Path("ca.pem"),
        cert_file=Path("cert.pem"),
        key_file=Path("key.pem"),
    )


def test_access_without_brokers_is_refused() -> None:
    with pytest.raises(Invalid, match="TAILRACE_KAFKA_BOOTSTRAP"):
        kafka_access(KafkaSettings(kafka_bootstrap=None), client_id="tailrace")
