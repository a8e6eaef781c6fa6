from io import BytesIO

from tailrace.connector_kit.kept_texts import KeptTexts


def test_texts_come_as_they_were_kept() -> None:
    kept = KeptTexts(BytesIO())

    assert all([kept.keep(b"a\n\0b"), kept.keep("é".encode())])

    assert list(kept.texts()) == [b"a\n\0b", "é".encode()]


def test_nothing_kept_is_nothing() -> None:
    assert list(KeptTexts(BytesIO()).texts()) == []


def test_what_has_no_room_is_told_by_an_empty_text() -> None:
    kept = KeptTexts(BytesIO(), most_bytes=5)

    assert kept.keep(b"abc")
    assert not kept.keep(b"def")

    assert list(kept.texts()) == [b"abc", b""]
