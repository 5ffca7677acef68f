"""HTTP: the protocol and everything else that the server answers over it."""
