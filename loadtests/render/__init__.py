"""Everything that is made from the one JSON: table, markdown, JUnit, page."""
