"""Getting to know a router that is already in use: what its items mean, what is unusual, how it compares with us."""
