"""What a report or a typed query says, as facts: finding, status, side, site, degree."""
