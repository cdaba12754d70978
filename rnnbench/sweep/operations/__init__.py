"""What the operator of a sweep needs beside it: a supervisor, a budget, notifications."""
