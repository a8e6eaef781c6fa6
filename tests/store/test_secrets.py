"""The keyring that secrets are sealed with."""

import base64
import os

import pytest

from tailrace.core.errors import Invalid
from tailrace.store.secrets import SecretBox

OLD, NEW = os.urandom(32), os.urandom(32)


def test_what_was_sealed_opens_for_the_same_row() -> None:
    box = SecretBox([NEW])

    assert box.open(box.seal(b"s3cret", bound_to="ws/conn"), bound_to="ws/conn") == b"s3cret"


def test_blob_does_not_show_what_it_holds_and_is_never_the_same() -> None:
    box = SecretBox([NEW])

    first, second = (box.seal(b"s3cret", bound_to="r") for _ in range(2))

    assert b"s3cret" not in first
    assert first != second


def test_many_sealed_at_once_are_sealed_as_one_by_one() -> None:
    box = SecretBox([NEW, OLD])

    sealed = box.seal_all([b"s3cret"] * 3, bound_to=["r", "s", "r"])

    opened = [box.open(each, bound_to=place) for each, place in zip(sealed, ["r", "s", "r"], strict=True)]
    assert opened == [b"s3cret"] * 3
    assert len({each[5:17] for each in sealed}) == 3
    assert {each[:5] for each in sealed} == {box.seal(b"s3cret", bound_to="r")[:5]}
    assert [_opens(box, each) for each in sealed] == [True, False, True]


def test_blob_moved_to_another_row_does_not_open() -> None:
    box = SecretBox([NEW])
    sealed = box.seal(b"s3cret", bound_to="ws/a")

    with pytest.raises(Invalid) as refused:
        box.open(sealed, bound_to="ws/b")

    assert refused.value.code == "SECRET_ALTERED"


def test_every_altered_byte_is_noticed() -> None:
    box = SecretBox([NEW])
    sealed = box.seal(b"s3cret", bound_to="r")
    altered = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]

    assert [_opens(box, each) for each in altered] == [False] * len(sealed)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"0" * 15, b"plain text from before"], ids=repr)
def test_what_is_no_blob_does_not_open(sealed: bytes) -> None:
    assert not _opens(SecretBox([NEW]), sealed)


def test_after_rotation_the_new_key_seals_and_both_open() -> None:
    before = SecretBox([OLD]).seal(b"s3cret", bound_to="r")
    rotated = SecretBox([NEW, OLD])

    after = rotated.seal(b"s3cret", bound_to="r")

    assert rotated.open(before, bound_to="r") == b"s3cret"
    assert SecretBox([NEW]).open(after, bound_to="r") == b"s3cret"


def test_missing_key_is_told_with_what_to_do() -> None:
    sealed = SecretBox([OLD]).seal(b"s3cret", bound_to="r")

    with pytest.raises(Invalid, match="TAILRACE_SECRET_KEY") as refused:
        SecretBox([NEW]).open(sealed, bound_to="r")

    assert refused.value.code == "SECRET_KEY_UNKNOWN"


def test_setting_may_name_several_keys() -> None:
    setting = f"{base64.b64encode(NEW).decode()} , {base64.b64encode(OLD).decode()}"

    box = SecretBox.from_setting(setting)

    assert box.open(SecretBox([OLD]).seal(b"x", bound_to="r"), bound_to="r") == b"x"
    assert box.pepper == SecretBox([NEW]).pepper


@pytest.mark.parametrize(
    "setting",
    ["", ",", "short", "not base64!", base64.b64encode(os.urandom(31)).decode(), base64.b64encode(NEW).decode() + ","],
    ids=["empty", "comma", "short", "no base64", "31 bytes", "one key and nothing"],
)
def test_setting_that_cannot_work_says_how_to_make_one(setting: str) -> None:
    with pytest.raises(Invalid, match="openssl rand -base64 32") as refused:
        SecretBox.from_setting(setting)

    assert not setting.strip(",") or setting not in refused.value.message


def test_keys_for_other_purposes_differ_from_each_other_and_from_the_root() -> None:
    box = SecretBox([NEW])

    assert len({box.pepper, *box.derive("cursor"), NEW}) == 3


def _opens(box: SecretBox, sealed: bytes) -> bool:
    try:
        box.open(sealed, bound_to="r")
    except Invalid:
        return False
    return True
