"""Boards, tricks' effects and sweeps' progress as text in a terminal."""
