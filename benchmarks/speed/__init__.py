"""`make bench-speed`: what Honeyguide costs against the engines it is made of, and what one would use instead."""
