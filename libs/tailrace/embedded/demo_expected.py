"""What the runs of the demo have to do, worked out from the rules alone: the platform is held against it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailrace.embedded.demo_crm import Contact, refusal
from tailrace.embedded.demo_customers import Customer

NULL_KEY = "NULL_KEY"
DUPLICATE_KEY = "DUPLICATE_KEY"


@dataclass(frozen=True, slots=True)
class ExpectedBooks:
    """What became of the rows of one run."""

    read: int
    delivered: int
    skipped: int
    rejected: int
    removed: int
    reasons: dict[str, int]


@dataclass(slots=True)
class Expected:
    """What the CRM has to hold, and what lies dead by which code, after the runs so far."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    _dead: dict[str, Contact] = field(default_factory=dict)
    _keys: set[str] = field(default_factory=set)

    def run(self, customers: Sequence[Customer]) -> ExpectedBooks:
        """The books of an upsert run over these customers; one that is gone from them stays in the CRM."""
        counts: Counter[str] = Counter()
        seen: set[str] = set()
        for customer in customers:
            counts[self._settle(customer, seen)] += 1
        removed = len(self._keys - seen)
        self._keys = seen
        self.letters = self._open_letters(counts)
        return _books(counts, removed)

    def _settle(self, customer: Customer, seen: set[str]) -> str:
        contact = contact_of(customer)
        key = str(contact["external_id"])
        if customer.id is None:
            return f"rejected.{NULL_KEY}"
        if key in seen:
            return f"rejected.{DUPLICATE_KEY}"
        seen.add(key)
        if self._dead.get(key) == contact:
            return "skipped.STILL_DEAD"
        if self.contacts.get(key) == contact:
            return "skipped.UNCHANGED"
        refused = refusal(contact)
        if refused is not None:
            self._dead[key] = contact
            return f"rejected.{refused.code}"
        self._dead.pop(key, None)
        self.contacts[key] = contact
        return "delivered"

    def _open_letters(self, counts: Counter[str]) -> dict[str, int]:
        refused = Counter(refused.code for refused in map(refusal, self._dead.values()) if refused)
        keyless = {code: counts[f"rejected.{code}"] for code in (NULL_KEY, DUPLICATE_KEY)}
        return dict(refused + Counter(keyless))


def contact_of(customer: Customer) -> Contact:
    """The contact that the demo's mappings make of a customer."""
    return {
        "external_id": customer.id,
        "email": customer.email,
        "name": customer.full_name,
        "plan": customer.plan,
        "monthly_spend": float(customer.monthly_spend),
        "country": customer.country,
        "origin": "warehouse",
    }


def _books(counts: Counter[str], removed: int) -> ExpectedBooks:
    def of(outcome: str) -> int:
        return sum(count for reason, count in counts.items() if reason.partition(".")[0] == outcome)

    return ExpectedBooks(
        read=counts.total(),
        delivered=of("delivered"),
        skipped=of("skipped"),
        rejected=of("rejected"),
        removed=removed,
        reasons={reason: count for reason, count in sorted(counts.items()) if "." in reason},
    )
