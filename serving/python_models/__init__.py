"""What Triton's python models share. Imported inside the server's environment: no torch, numpy 1."""
