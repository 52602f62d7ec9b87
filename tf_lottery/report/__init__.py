"""The report of a run: results, claims, tables, figures, the page, and what commands print. It never imports Keras."""
