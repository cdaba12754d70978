"""Makes of the seeds of rows what may be said of any two: better, worse, equal or open.

pairs           the words, and what a board holds of each pair
equality        within what two rows are equal
of_board        the verdicts on all pairs, by the board's method
by_tests        the same by tests of two samples, as asked for: Welch's, or permutations
"""
