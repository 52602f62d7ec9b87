"""A ticket as something to use elsewhere: small on disk, read by anything, smaller where that is exact."""
