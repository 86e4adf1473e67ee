"""What is made of a query before it is searched with: its view, its faults, what its text means."""
