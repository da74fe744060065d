SELECT datname AS name,
       datistemplate AS is_template,
       datallowconn AND has_database_privilege(oid, 'CONNECT') AS may_connect
  FROM pg_catalog.pg_database
 ORDER BY datname
