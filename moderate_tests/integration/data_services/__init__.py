"""The data services as Dagster jobs."""
