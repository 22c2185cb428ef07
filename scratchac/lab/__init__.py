"""The learning lab: single changes to the library's own source, and what they do."""
