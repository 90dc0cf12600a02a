"""The lake: tables, manifests, ledger and stage results below one folder."""
