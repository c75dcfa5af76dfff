"""Everything at once for as long as asked, and whether anything grew."""
