"""SQLite through APSW: streams as rows of batches, folds, key-value; one writer, synced group commit."""
