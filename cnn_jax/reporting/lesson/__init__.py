"""The lesson's page: one file a part of the lecture, each with `section(record)`, which says and draws a record."""
