-- Roles and databases beside those of the platform itself. The passwords come
-- from the server's environment, and are on no command line.
\getenv dagster_password DAGSTER_POSTGRES_PASSWORD
\getenv open_metadata_password OPEN_METADATA_POSTGRES_PASSWORD
create role dagster login password :'dagster_password';
create database dagster owner dagster;
create role openmetadata login password :'open_metadata_password';
create database openmetadata owner openmetadata;
