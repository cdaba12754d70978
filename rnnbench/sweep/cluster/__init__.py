"""A Ray cluster seen from outside: connecting, comparing its nodes, sending a job."""
