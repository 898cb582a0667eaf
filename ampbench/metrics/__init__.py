"""Metrics, one per file, each with provenance."""
