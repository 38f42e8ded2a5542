"""Talk to a Sat2Sound server: the gRPC client, the command line and the reports."""
