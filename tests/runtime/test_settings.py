from pathlib import Path

import pytest

from tailrace.core.errors import Invalid
from tailrace.runtime.settings import KafkaSettings, Settings, StoreSettings, known_variables, load_settings

DSN = "postgresql://tailrace:hunter2@db:5432/state"


@pytest.fixture(autouse=True)
def only_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAILRACE_DATABASE_URL", DSN)
    monkeypatch.setenv("TAILRACE_SECRET_KEY", "c2VjcmV0")


def refused(kind: type[Settings] | type[StoreSettings] | type[KafkaSettings] = Settings) -> str:
    with pytest.raises(Invalid) as caught:
        load_settings(kind)
    return caught.value.message


def test_least_settings_are_enough() -> None:
    settings = load_settings(Settings)

    assert settings.database_url.get_secret_value() == DSN
    assert (settings.kafka_bootstrap, settings.lease_ttl_s, settings.poll_s) == (None, 30, 3)


def test_misspelt_name_is_refused_and_all_known_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_POOL_SIZE", "5")

    message = refused()

    assert "TAILRACE_POOL_SIZE" in message
    assert [name for name in known_variables() if name not in message] == []


def test_missing_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILRACE_DATABASE_URL")
    monkeypatch.delenv("TAILRACE_SECRET_KEY")

    message = refused()

    assert "TAILRACE_DATABASE_URL: Field required" in message
    assert "TAILRACE_SECRET_KEY: Field required" in message


def test_wrong_value_is_named_but_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "mysql://u:hunter2@db/x")

    message = refused()

    assert "TAILRACE_DATABASE_URL" in message
    assert "postgresql://" in message
    assert "hunter2" not in message


def test_secrets_do_not_show_in_the_settings() -> None:
    assert "hunter2" not in repr(load_settings(Settings))


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA_BOOTSTRAP", "")

    assert load_settings(Settings).kafka_bootstrap is None


def test_file_of_a_secret_volume_sets_what_the_environment_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tailrace_kafka_password").write_text("from the volume")
    (tmp_path / "tailrace_secret_key").write_text("from the volume")
    monkeypatch.setenv("TAILRACE_SECRETS_DIR", str(tmp_path))

    settings = load_settings(Settings)

    assert settings.kafka_password is not None
    assert settings.kafka_password.get_secret_value() == "from the volume"
    assert settings.secret_key.get_secret_value() == "c2VjcmV0"


def test_file_that_sets_nothing_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tailrace_secret_kee").write_text("a slip of the pen")
    (tmp_path / "..data").write_text("what Kubernetes keeps there")
    monkeypatch.setenv("TAILRACE_SECRETS_DIR", str(tmp_path))

    with pytest.raises(Invalid, match="unknown settings: TAILRACE_SECRET_KEE; known are"):
        load_settings(Settings)


def test_folder_of_secrets_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_SECRETS_DIR", str(tmp_path / "secrets"))

    with pytest.raises(Invalid, match="which is no folder"):
        load_settings(Settings)


def test_migration_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILRACE_SECRET_KEY")

    assert load_settings(StoreSettings).database_url.get_secret_value() == DSN


def test_topics_need_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILRACE_DATABASE_URL")
    monkeypatch.setenv("TAILRACE_KAFKA_BOOTSTRAP", "kafka:9092")

    assert load_settings(KafkaSettings).kafka_bootstrap == "kafka:9092"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TAILRACE_SERVICE_HOST", "10.0.0.1"),
        ("TAILRACE_GATEWAY_SERVICE_PORT_HTTP", "8080"),
        ("TAILRACE_GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("TAILRACE_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TAILRACE_PORT", "tcp://10.0.0.1:8080"),
    ],
)
def test_what_kubernetes_says_of_its_services_is_not_for_us(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert load_settings(Settings).port == 8080


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"HEARTBEAT_S": "11"}, "HEARTBEAT_S must be at most a third of LEASE_TTL_S"),
        ({"DATABASE_COMMAND_S": "13"}, "DATABASE_ACQUIRE_S + DATABASE_COMMAND_S must fit"),
        ({"TAKEOVER_GRACE_S": "2"}, "TAKEOVER_GRACE_S must be at least LEASE_MARGIN_S"),
        ({"REQUEST_TIMEOUT_S": "21"}, "SHUTDOWN_GRACE_S must be at least REQUEST_TIMEOUT_S + 10"),
    ],
    ids=["heartbeat", "slow store", "takeover", "drain"],
)
def test_times_that_let_two_executors_write_at_once_are_refused(
    changed: dict[str, str], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "os.environ", {**_environment(), **{f"TAILRACE_{key}": value for key, value in changed.items()}}
    )

    assert rule in refused()


def test_times_at_their_limits_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_DATABASE_COMMAND_S", "12")
    monkeypatch.setenv("TAILRACE_TAKEOVER_GRACE_S", "3")

    assert load_settings(Settings).database_command_s == 12


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def _environment() -> dict[str, str]:
    return {"TAILRACE_DATABASE_URL": DSN, "TAILRACE_SECRET_KEY": "c2VjcmV0"}


def test_failpoint_that_is_unknown_is_refused_with_those_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_FAILPOINT", "exec.before_lunch:1:kill")

    message = refused()

    assert "TAILRACE_FAILPOINT" in message
    assert "exec.before_send" in message
