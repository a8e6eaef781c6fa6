"""The customers of the demo: the same ten thousand every time, two in a hundred as bad as real ones are."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

ROWS = 10_000

_SEED = 2026
_MALFORMED = 80
_NAMELESS = 60
_KEYLESS = 30
_TWICE = 30
_GOOD = ROWS - _MALFORMED - _NAMELESS - _KEYLESS - _TWICE

_CHANGED = 250
_REMOVED = 40
_SPOILT = 5
_MENDED = 20
_ADDED = 25

_FIRST = ("Ada", "Bela", "Chidi", "Dana", "Emil", "Fatou", "Grace", "Hana", "Ivo", "Jun", "Kwame", "Lucía", "Noor")
_LAST = ("Adeyemi", "Bauer", "Castro", "Dubois", "Eriksen", "Ferrari", "Günther", "Haddad", "Ivanova", "Jensen", "Kim")
_PLANS = ("free", "team", "business", "enterprise")
_COUNTRIES = ("BR", "CH", "DE", "FR", "GB", "IN", "JP", "KE", "NG", "US")


@dataclass(frozen=True, slots=True)
class Customer:
    """A row of the warehouse."""

    id: int | None
    email: str
    full_name: str | None
    plan: str
    monthly_spend: Decimal
    country: str


def first_customers() -> list[Customer]:
    """Good ones first, then malformed e-mails, missing names, missing keys, and some good ones a second time.

    Those that are there twice are alike in every column, as after a join that fans out.
    """
    dice = random.Random(_SEED)  # noqa: S311  # the same customers every time
    people = [_customer(number, dice) for number in range(1, ROWS - _TWICE + 1)]
    good, people = people[:_GOOD], people[_GOOD:]
    malformed, people = people[:_MALFORMED], people[_MALFORMED:]
    nameless, keyless = people[:_NAMELESS], people[_NAMELESS:]
    return [
        *good,
        *(_spoilt(person) for person in malformed),
        *(replace(person, full_name=None) for person in nameless),
        *(replace(person, id=None) for person in keyless),
        *good[-_TWICE:],
    ]


def later_customers(before: Sequence[Customer]) -> list[Customer]:
    """The customers of `first_customers` some time later: some changed, gone, spoilt, mended, and some new."""
    dice = random.Random(_SEED + 1)  # noqa: S311  # the same changes every time
    chosen = dice.sample(range(_GOOD - _TWICE), _CHANGED + _REMOVED + _SPOILT)
    later: list[Customer | None] = list(before)
    for at in chosen[:_CHANGED]:
        later[at] = replace(before[at], plan=dice.choice(_PLANS), monthly_spend=before[at].monthly_spend + 1)
    for at in chosen[_CHANGED : _CHANGED + _REMOVED]:
        later[at] = None
    for at in chosen[_CHANGED + _REMOVED :]:
        later[at] = _spoilt(before[at])
    for at in dice.sample(range(_GOOD, _GOOD + _MALFORMED), _MENDED):
        later[at] = replace(before[at], email=_email(before[at].id, dice))
    added = [_customer(number, dice) for number in range(ROWS + 1, ROWS + _ADDED + 1)]
    return [*(customer for customer in later if customer is not None), *added]


def _customer(number: int, dice: random.Random) -> Customer:
    return Customer(
        id=number,
        email=_email(number, dice),
        full_name=f"{dice.choice(_FIRST)} {dice.choice(_LAST)}",
        plan=dice.choice(_PLANS),
        monthly_spend=Decimal(dice.randrange(100_000)) / 100,
        country=dice.choice(_COUNTRIES),
    )


def _email(number: int | None, dice: random.Random) -> str:
    return f"{dice.choice(_FIRST).lower().encode('ascii', 'ignore').decode()}{number}@example.com"


def _spoilt(customer: Customer) -> Customer:
    return replace(customer, email=customer.email.replace("@", " at "))
