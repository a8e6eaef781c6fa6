"""Hashes of what a person is known by, as the platforms for advertising want it: normalised first, then SHA-256.

Meta: https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
Google: https://developers.google.com/data-manager/api/devguides/concepts/formatting and the formatter of
https://github.com/googleads/data-manager-python, all looked at on 2026-11-23.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from hashlib import sha256

from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse

from tailrace.core.mappings import Hash, HashKind, Platform
from tailrace.mapping.values import Convert, Mismatch, parsed, to_text

_HASHED = re.compile(r"[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_GENDERS = {"f": "f", "female": "f", "m": "m", "male": "m"}
_OLDEST = 1900

Normalize = Callable[[str], str]


def hashing(how: Hash) -> Convert:
    """Makes a value its hash. A value that is a SHA-256 already is kept, but for plain text; an empty one is NULL.

    :raises Mismatch: when called, where the value is none of that kind.
    """
    return _hash_of_text if how.platform is None else hashing_by(_normalization(how.platform, how))


def hashing_by(normalize: Normalize) -> Convert:
    """Makes a value its hash once it is normalised, as `hashing` does."""

    def hashed(value: object) -> str | None:
        text = to_text(value)
        return text.strip().lower() if _HASHED.fullmatch(text.strip()) else _hash_of_text(normalize(text))

    return hashed


def _hash_of_text(value: object) -> str | None:
    text = to_text(value)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else None


def _normalization(platform: Platform, how: Hash) -> Normalize:
    match platform:
        case _ if how.kind is HashKind.PHONE:
            return _phone(how.region, is_bare=platform is Platform.META)
        case Platform.GOOGLE:
            return _GOOGLE[how.kind]
        case Platform.META:
            return _META[how.kind]


def _trimmed(text: str) -> str:
    return text.strip().lower()


def _email(text: str) -> str:
    address = _trimmed(text)
    if address and not _ADDRESS.fullmatch(address):
        raise Mismatch("an e-mail address")
    return address


def _google_email(text: str) -> str:
    address = _email(text)
    user, _, domain = address.partition("@")
    if domain not in _GMAIL:
        return address
    name = user.partition("+")[0].replace(".", "")
    if not name:
        raise Mismatch("an e-mail address")
    return f"{name}@{domain}"


def _phone(region: str | None, *, is_bare: bool) -> Normalize:
    """E.164, for Meta without the plus."""

    def normalized(text: str) -> str:
        if not text.strip():
            return ""
        try:
            number = parse(text, region)
        except NumberParseException:
            raise Mismatch("a phone number with a country's code") from None
        if not is_possible_number(number):
            raise Mismatch("a phone number with a country's code")
        return format_number(number, PhoneNumberFormat.E164)[is_bare:]

    return normalized


def _without_punctuation(text: str) -> str:
    return "".join(each for each in _trimmed(text) if not unicodedata.category(each).startswith("P")).strip()


def _letters(text: str) -> str:
    return "".join(each for each in _trimmed(text) if each.isalpha())


def _birthday(text: str) -> str:
    told = text.strip()
    if not told:
        return ""
    day = parsed(f"{told[:4]}-{told[4:6]}-{told[6:]}" if re.fullmatch(r"[0-9]{8}", told) else told, _BIRTHDAY)
    if day.year < _OLDEST:
        raise Mismatch(_BIRTHDAY)
    return day.strftime("%Y%m%d")


_BIRTHDAY = "a date of birth such as 1990-01-31, from 1900 on"


def _gender(text: str) -> str:
    word = _trimmed(text)
    if word and word not in _GENDERS:
        raise Mismatch("a gender: f, female, m or male")
    return _GENDERS.get(word, "")


def _zip(text: str) -> str:
    """Without blanks; of a code such as 94107-1234 what stands before the dash."""
    return re.sub(r"\s", "", _trimmed(text)).partition("-")[0]


def _country(text: str) -> str:
    code = _trimmed(text)
    if code and not re.fullmatch(r"[a-z]{2}", code):
        raise Mismatch("a country's code of two letters")
    return code


_GOOGLE: Mapping[HashKind, Normalize] = {
    HashKind.EMAIL: _google_email,
    HashKind.FIRST_NAME: _trimmed,
    HashKind.LAST_NAME: _trimmed,
    HashKind.STREET_ADDRESS: _trimmed,
}
_META: Mapping[HashKind, Normalize] = {
    HashKind.EMAIL: _email,
    HashKind.FIRST_NAME: _without_punctuation,
    HashKind.LAST_NAME: _without_punctuation,
    HashKind.DATE_OF_BIRTH: _birthday,
    HashKind.GENDER: _gender,
    HashKind.CITY: _letters,
    HashKind.STATE: _letters,
    HashKind.ZIP: _zip,
    HashKind.COUNTRY: _country,
    HashKind.EXTERNAL_ID: str.strip,
}
