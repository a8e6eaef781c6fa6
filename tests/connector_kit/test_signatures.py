from base64 import b64encode
from datetime import UTC, datetime

import pytest

from tailrace.connector_kit.signatures import signature_headers, signing_key


def test_signature_is_that_of_the_published_example() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = signature_headers(
        [key],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        sent_at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_prefix_of_a_secret_may_be_left_out() -> None:
    assert signing_key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize("size", [24, 64])
def test_key_may_be_as_short_or_long_as_the_standard_says(size: int) -> None:
    assert len(signing_key(b64encode(bytes(size)).decode())) == size


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_é", "canary", b64encode(bytes(23)).decode(), b64encode(bytes(65)).decode()]
)
def test_secret_that_is_none_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64") as refused:
        signing_key(secret)

    assert "canary" not in str(refused.value)
