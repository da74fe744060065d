"""The service, seen in the UI: what waits, fails and why; and what is pruned.

``figures`` turns the numbers of ``moderate.watch`` into points and checks of
the assets in group ``operations``; ``sensor`` adds a point each minute;
``admin`` retries and drops items by hand; ``alerts`` tells a webhook;
``housekeeping`` prunes what is long over.
"""
