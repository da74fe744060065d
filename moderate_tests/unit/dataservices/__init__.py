"""The data services on files, without Dagster."""
