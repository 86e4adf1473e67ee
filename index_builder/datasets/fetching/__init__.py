"""Downloads of collections that may be fetched."""
