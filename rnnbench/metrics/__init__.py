"""What tasks measure: meters that sum over a whole split and divide once."""
