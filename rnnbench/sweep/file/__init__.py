"""The sweep file: reading it, with the line of every mistake."""
