"""Shipped fakes: what stands in for entropy, clock and network in simulations and tests, never in production."""
