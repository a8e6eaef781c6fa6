"""Hashes as Meta and Google publish them: their own examples, and values that are none of their kind."""

from hashlib import sha256

import pytest
from pydantic import ValidationError

from tailrace.core.mappings import Hash, HashKind, Platform
from tailrace.mapping.hashing import hashing, hashing_by
from tailrace.mapping.values import Mismatch

META, GOOGLE = Platform.META, Platform.GOOGLE


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("kind", "value", "published"),
    [
        (HashKind.EMAIL, " John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        (HashKind.PHONE, "(650)555-1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
        (HashKind.FIRST_NAME, "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
        (HashKind.FIRST_NAME, "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
        (HashKind.LAST_NAME, "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ],
)
def test_meta_publishes_this_very_hash(kind: HashKind, value: str, published: str) -> None:
    region = "US" if kind is HashKind.PHONE else None

    assert hashing(Hash(kind=kind, platform=META, region=region))(value) == published


@pytest.mark.parametrize(
    ("platform", "kind", "value", "normalised"),
    [
        (META, HashKind.EMAIL, "Jo.Doe@GMAIL.com ", "jo.doe@gmail.com"),
        (GOOGLE, HashKind.EMAIL, "Jo.Doe@GMAIL.com ", "jodoe@gmail.com"),
        (GOOGLE, HashKind.EMAIL, "Jo.Doe@Example.com", "jo.doe@example.com"),
        (GOOGLE, HashKind.EMAIL, "cloudy.sanfrancisco+shopping@gmail.com", "cloudysanfrancisco@gmail.com"),
        (GOOGLE, HashKind.EMAIL, "user.name+NYC@Example.com", "user.name+nyc@example.com"),
        (META, HashKind.PHONE, "+41 79 123 45 67", "41791234567"),
        (GOOGLE, HashKind.PHONE, "+41 (0)79 123 45 67", "+41791234567"),
        (GOOGLE, HashKind.PHONE, "+1 650-555-1212", "+16505551212"),
        (META, HashKind.FIRST_NAME, " O'Neil-Jane ", "oneiljane"),
        (GOOGLE, HashKind.LAST_NAME, " van Dyke ", "van dyke"),
        (GOOGLE, HashKind.STREET_ADDRESS, "1 Main St ", "1 main st"),
        (META, HashKind.DATE_OF_BIRTH, "1997-02-16", "19970216"),
        (META, HashKind.DATE_OF_BIRTH, "19970216", "19970216"),
        (META, HashKind.GENDER, "Female", "f"),
        (META, HashKind.CITY, "St. John's", "stjohns"),
        (META, HashKind.STATE, "CA", "ca"),
        (META, HashKind.ZIP, "94107-1234", "94107"),
        (META, HashKind.ZIP, "EC1A 1BB", "ec1a1bb"),
        (META, HashKind.COUNTRY, "US", "us"),
        (META, HashKind.EXTERNAL_ID, " AbC ", "AbC"),
        (None, HashKind.TEXT, " AbC ", " AbC "),
    ],
)
def test_value_is_normalised_by_the_rules_of_the_platform(
    platform: Platform | None, kind: HashKind, value: str, normalised: str
) -> None:
    assert hashing(Hash(kind=kind, platform=platform))(value) == digest(normalised)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (HashKind.EMAIL, "nobody"),
        (HashKind.EMAIL, "a b@example.com"),
        (HashKind.PHONE, "079 123 45 67"),
        (HashKind.PHONE, "+41 12"),
        (HashKind.DATE_OF_BIRTH, "16.02.1997"),
        (HashKind.DATE_OF_BIRTH, "1897-02-16"),
        (HashKind.GENDER, "unknown"),
        (HashKind.COUNTRY, "Switzerland"),
    ],
)
def test_value_of_another_kind_is_not_hashed(kind: HashKind, value: str) -> None:
    with pytest.raises(Mismatch) as refused:
        hashing(Hash(kind=kind, platform=META))(value)

    assert value not in str(refused.value)


def test_rule_of_one_s_own_is_hashed_by_and_keeps_hashes() -> None:
    year = hashing_by(lambda text: text.strip()[:4])

    assert year(" 1997-02-16") == year(1997) == digest("1997")
    assert year(digest("1997").upper()) == digest("1997")
    assert year(" ") is None


@pytest.mark.parametrize("value", ["+shopping@gmail.com", "...@googlemail.com"])
def test_address_of_which_google_leaves_no_name_is_not_hashed(value: str) -> None:
    with pytest.raises(Mismatch):
        hashing(Hash(kind=HashKind.EMAIL, platform=GOOGLE))(value)


def test_number_of_a_region_needs_no_country_code() -> None:
    swiss = Hash(kind=HashKind.PHONE, platform=GOOGLE, region="CH")

    assert hashing(swiss)("079 123 45 67") == digest("+41791234567")


def test_hash_is_kept_and_an_empty_value_is_null() -> None:
    once = hashing(Hash(kind=HashKind.EMAIL, platform=META))

    assert once(digest("jo@example.com").upper()) == digest("jo@example.com")
    assert once("  ") is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"kind": "zip", "platform": "google"}, "google does not take zip hashed"),
        ({"kind": "email"}, "every other kind needs one"),
        ({"kind": "text", "platform": "meta"}, "kind text goes without a platform"),
        ({"kind": "email", "platform": "meta", "region": "CH"}, "region goes with the kind phone alone"),
    ],
)
def test_hash_that_no_platform_takes_is_refused(said: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Hash.model_validate(said)
