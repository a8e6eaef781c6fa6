import ssl
from pathlib import Path
from typing import Literal

import pytest

from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.errors import Invalid


def test_plain_access_needs_only_the_brokers() -> None:
    options = KafkaAccess("kafka-0:9092, kafka-1:9092", client_id="gateway").options()

    assert options == {
        "bootstrap_servers": ["kafka-0:9092", "kafka-1:9092"],
        "client_id": "gateway",
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_verifies_the_brokers_and_their_names(protocol: Literal["SSL", "SASL_SSL"]) -> None:
    options = KafkaAccess("kafka:9093", security_protocol=protocol, username="u", password="p").options()

    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_login_is_handed_on() -> None:
    options = KafkaAccess("kafka:9092", security_protocol="SASL_PLAINTEXT", username="u", password="p").options()

    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", "p")
    assert "ssl_context" not in options


def test_sasl_without_a_user_is_refused() -> None:
    with pytest.raises(Invalid, match="SASL_SSL needs a user and a password"):
        KafkaAccess("kafka:9092", security_protocol="SASL_SSL").options()


def test_certificate_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    access = KafkaAccess("kafka:9092", security_protocol="SSL", ca_file=tmp_path / "ca.pem")

    with pytest.raises(Invalid, match=r"ca\.pem"):
        access.options()


def test_certificate_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")

    with pytest.raises(Invalid, match=r"ca\.pem"):
        KafkaAccess("kafka:9092", security_protocol="SSL", ca_file=tmp_path / "ca.pem").options()


def test_password_is_not_shown() -> None:
    assert "hunter2" not in repr(KafkaAccess("kafka:9092", username="u", password="hunter2"))
