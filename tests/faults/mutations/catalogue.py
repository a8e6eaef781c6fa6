"""All mutations there are."""

from tests.faults.mutations import access, edges, engine, outages, spools, store

MUTATIONS = (
    *engine.MUTATIONS,
    *outages.MUTATIONS,
    *spools.MUTATIONS,
    *store.MUTATIONS,
    *access.MUTATIONS,
    *edges.MUTATIONS,
)
