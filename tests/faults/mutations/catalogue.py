"""All mutations there are."""

from tests.faults.mutations import (
    access,
    edges,
    engine,
    identity,
    outages,
    parts,
    shares,
    sifting,
    spools,
    store,
    tables,
    winnowing,
)

MUTATIONS = (
    *engine.MUTATIONS,
    *identity.MUTATIONS,
    *outages.MUTATIONS,
    *parts.MUTATIONS,
    *shares.MUTATIONS,
    *sifting.MUTATIONS,
    *spools.MUTATIONS,
    *store.MUTATIONS,
    *tables.MUTATIONS,
    *winnowing.MUTATIONS,
    *access.MUTATIONS,
    *edges.MUTATIONS,
)
