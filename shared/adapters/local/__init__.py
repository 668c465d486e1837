"""Documents on SQLite, objects on files, topics over the embedded broker."""
