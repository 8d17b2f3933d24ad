"""What came of a sweep: tables, statistics and pages, from its folder alone."""
