"""Results as tables and pages: the figures first, then how they are drawn.

`gap.gap_report` compares every plan with the proven bound, and `prices` says what each constraint
costs; `scenarios`, `dispatch`, `replay` and `size` do the same for other questions. What a table
shows is a list of `columns.Column`; `tables`, `gap_tables` and others draw it on a terminal,
`gap_csv` writes it as CSV, and `html.write_report` puts it on a page that opens offline
(`page_tables`, `page_data`). `figures` and `free_counts` compute what only figures and prices
need, and `words` writes numbers as a person reads them. Nothing here plans or changes a plan.
"""
